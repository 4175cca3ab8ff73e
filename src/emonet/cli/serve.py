"""``emonet serve``: predict over HTTP."""

import logging
import os
from functools import partial
from typing import Annotated

import typer

from emonet.cli.options import Detector, Model, OnDevice
from emonet.recognizer import EmotionRecognizer
from emonet.support.dependencies import require

logger = logging.getLogger("emonet")

LOOPBACK = ("127.0.0.1", "::1", "localhost")
API_KEY = "EMONET_API_KEY"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    model: Model = None,
    detector: Detector = None,
    device: OnDevice = "auto",
    workers: Annotated[int, typer.Option(min=1, max=256, help="Number of processes.")] = 1,
    max_body: Annotated[int, typer.Option(min=1, help="Largest body of a request, MiB.")] = 32,
    max_queued: Annotated[int, typer.Option(min=1, help="Most images that wait.")] = 256,
    timeout: Annotated[float, typer.Option(help="Time limit of a request, seconds.")] = 30.0,
) -> None:
    """Serve predictions over HTTP until Ctrl-C or SIGTERM.

    The environment variable EMONET_API_KEY sets a key that requests must send.
    """
    require("serve", "The HTTP service")
    from emonet.service import Limits, server
    from emonet.service.keys import require_key

    body = max_body * 2**20
    limits = Limits(
        max_body=body,
        max_images=min(64, max_queued),
        max_queued=max_queued,
        max_memory=max(8 * body, 2**28),
        timeout=timeout,
    )
    api_key = os.environ.get(API_KEY)
    if api_key is not None:
        require_key(api_key)
    elif host not in LOOPBACK:
        logger.warning(f"Everyone who reaches {host} may use the service: {API_KEY} is not set")
    load = partial(EmotionRecognizer.from_pretrained, model, detector=detector, device=device)
    served = repr(load())  # errors of the model appear before a worker starts
    server.serve(
        load,
        host=host,
        port=port,
        workers=workers,
        limits=limits,
        api_key=api_key,
        ready=lambda url: logger.info(f"Serving {served} on {url}; {url}/docs describes it"),
    )
