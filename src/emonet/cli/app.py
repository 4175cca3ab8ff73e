"""The command ``emonet``: its commands, exit statuses and logging."""

import io
import logging
import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from emonet.cli import (
    calibrate,
    distill,
    ensemble,
    evaluate,
    export,
    filter_faces,
    framing,
    info,
    models,
    plugins,
    predict,
    quantise,
    reproduce,
    train,
)
from emonet.cli.printing import printable
from emonet.errors import EmonetError

__all__ = ["app", "main"]

EXIT_FAILED = 2
INTERRUPTED = 130
TERMINATED = 143

app = typer.Typer(
    name="emonet",
    help="Facial expression recognition: which emotion does a face show?",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(predict.predict)
app.command()(train.train)
app.command()(distill.distill)
app.command()(evaluate.evaluate)
app.command()(ensemble.ensemble)
app.command()(calibrate.calibrate)
app.command()(export.export)
app.command()(quantise.quantise)
app.command()(filter_faces.filter_faces)
app.command()(reproduce.reproduce)
app.command()(framing.framing)
app.command()(models.models)
app.command()(info.info)
app.add_typer(plugins.app, name="plugins")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"emonet {version('emonet')}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option(help="Show tracebacks and debugging messages.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print emonet's version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Facial expression recognition: which emotion does a face show?"""
    # This process is ours, unlike one that imports emonet: TensorFlow may be quietened.
    if not debug:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name may hold what the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("emonet")
    logger.addHandler(handler)
    logger.propagate = False  # TensorFlow's converter gives the root a handler too
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


def main() -> NoReturn:
    """Run the command line: 0 is success, 1 that some inputs failed, 2 that nothing ran."""
    # --debug is read here too: usage errors come before any option is.
    debug = "--debug" in sys.argv
    # As a container is stopped: what is half written is to be cleared away then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        status = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", INTERRUPTED)
    except (EmonetError, OSError) as error:
        # OSError: a folder that can't be written to, a full disk.
        if debug:
            raise
        _fail(str(error), EXIT_FAILED)
    except Exception as error:
        # Usage errors of the parser underneath know how to word themselves.
        if debug or not hasattr(error, "format_message"):
            raise
        _fail(error.format_message(), EXIT_FAILED)
    if status == INTERRUPTED:  # typer's own answer to Ctrl-C
        _fail("interrupted", INTERRUPTED)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> NoReturn:
    # It may repeat a name that a stranger chose, such as a folder's, which a terminal would obey.
    shown = "\n".join(map(printable, message.split("\n")))
    print(f"emonet: {shown[:5000]}", file=sys.stderr)
    sys.exit(status)
