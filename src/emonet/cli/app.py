"""The command ``emonet``: its commands, exit statuses and logging."""

import io
import logging
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

from emonet.cli import (
    audit,
    batch,
    calibrate,
    compare,
    demo,
    distill,
    ensemble,
    evaluate,
    explain,
    export,
    filter_faces,
    framing,
    info,
    models,
    plugins,
    predict,
    quantise,
    reproduce,
    serve,
    train,
    video,
    webcam,
)
from emonet.errors import EmonetError, printable
from emonet.support.versions import emonet_version

EXIT_FAILED = 2
INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="emonet",
    help="Find faces in images and classify their expressions.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(predict.predict)
app.command()(video.video)
app.command()(webcam.webcam)
app.command()(explain.explain)
app.command()(batch.batch)
app.command()(train.train)
app.command()(distill.distill)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(audit.audit)
app.command()(ensemble.ensemble)
app.command()(calibrate.calibrate)
app.command()(export.export)
app.command()(quantise.quantise)
app.command()(filter_faces.filter_faces)
app.command()(reproduce.reproduce)
app.command()(framing.framing)
app.command()(serve.serve)
app.command()(demo.demo)
app.command()(models.models)
app.command()(info.info)
app.add_typer(plugins.app, name="plugins")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"emonet {emonet_version()}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option(help="Show tracebacks and debug messages.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version of emonet.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Find faces in images and classify their expressions."""
    # This process belongs to emonet, so it may silence TensorFlow.
    if not debug:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name may have characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("emonet")
    logger.addHandler(handler)
    logger.propagate = False  # TensorFlow's converter adds a handler to the root logger
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


def main() -> NoReturn:
    """Run the command line and exit: 0 success, 1 some inputs failed, 2 an error."""
    _open_missing_streams()
    # Read --debug here too: usage errors are raised before options are read.
    debug = "--debug" in sys.argv
    # SIGTERM stops a container: exit normally, so that temporary files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        status = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", INTERRUPTED)
    except (EmonetError, OSError) as error:
        # OSError: for example a read-only folder or a full disk.
        if debug:
            raise
        _fail(str(error), EXIT_FAILED)
    except Exception as error:
        # Usage errors of the parser have their own message.
        if debug or not hasattr(error, "format_message"):
            raise
        # The message may repeat a stranger's file name, by way of a shell's wildcard.
        _fail(printable(error.format_message()), EXIT_FAILED)
    if status == INTERRUPTED:  # typer returns it after Ctrl-C
        _fail("interrupted", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _open_missing_streams() -> None:
    """Connect closed standard streams, as of ``emonet ... 2>&-``, to the null device.

    Otherwise the next file that is opened gets the number of such a stream, and messages of
    libraries in C are written into that file.
    """
    while (null := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(null, True)
    os.close(null)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115


def _fail(message: str, status: int) -> NoReturn:
    print(f"emonet: {message[:5000]}", file=sys.stderr)
    sys.exit(status)
