"""``emonet demo``: try a model in a browser window."""

import logging
from contextlib import suppress
from typing import Annotated

import typer

from emonet.cli.loading import load_recognizer
from emonet.cli.options import Detector, Model, OnDevice
from emonet.support.dependencies import require

logger = logging.getLogger("emonet")


def demo(
    model: Model = None,
    detector: Detector = None,
    device: OnDevice = "auto",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
) -> None:
    """Show photos, films and a webcam with their expressions in a browser, until Ctrl-C.

    The page is visible on this machine only.
    """
    require("demo", "The demo")
    from emonet.demo import page

    recognizer = load_recognizer(model, detector=detector, device=device)
    with suppress(KeyboardInterrupt):  # the usual end
        page.serve(
            recognizer,
            port,
            ready=lambda url: logger.info(f"Open {url} in a browser. Ctrl-C ends the demo"),
        )
