"""Run the HTTP service in worker processes, and restart a worker that dies."""

import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from emonet.errors import EmonetError
from emonet.plugin import usable_cores
from emonet.recognizer import EmotionRecognizer
from emonet.service import Limits, create_app
from emonet.support.cores import limit_threads
from emonet.support.network import bind, url_of

if TYPE_CHECKING:
    from fastapi import FastAPI

#: Seconds for the requests that are in progress when the service is told to stop.
GRACE = 7
#: Seconds that an idle connection is kept. Load balancers usually keep theirs for 60 s, and the
#: side that sends requests should be the one that closes.
KEEP_ALIVE = 75
#: Seconds in which a worker must answer its supervisor.
HEALTH_SECONDS = 30
#: Exit status of a worker that would fail again; uvicorn then ends the service.
STARTUP_FAILURE = 3
#: Set by prometheus_client's users for several processes.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def serve(
    load: Callable[[], EmotionRecognizer],
    *,
    host: str,
    port: int,
    workers: int,
    limits: Limits,
    api_key: str | None,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then finish the requests in progress.

    Args:
        load: loads the recognizer in each worker, so it must be a function that can be pickled.
        host: address to listen on.
        port: 0 takes a free one.
        workers: number of processes.
        limits: of each worker.
        api_key: as for create_app.
        ready: called with the service's URL before the workers start.

    Raises:
        ConfigError: the address can't be used.
        EmonetError: a worker can't start.
    """
    from uvicorn import Config
    from uvicorn.supervisors import Multiprocess

    config = Config(
        # Workers are new processes, to which the function is pickled. It is small, because its
        # pipe would block the supervisor forever if a new worker died before reading all of it.
        partial(_app, load, limits, api_key),
        factory=True,
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        timeout_worker_healthcheck=HEALTH_SECONDS,
    )
    _allow_many_connections()
    with ExitStack() as stack:
        listening = stack.enter_context(bind(host, port))
        if workers > 1:
            limit_threads(max(1, usable_cores() // workers))
            os.environ[METRICS_FOLDER] = stack.enter_context(TemporaryDirectory(prefix="emonet-"))
        ready(url_of(host, listening))
        supervisor = Multiprocess(config, sockets=[listening])
        supervisor.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes):
        raise EmonetError("A worker could not start, so the service has ended")


def _app(load: Callable[[], EmotionRecognizer], limits: Limits, api_key: str | None) -> "FastAPI":
    """Return the application of a worker."""
    try:
        return create_app(load(), limits=limits, api_key=api_key)
    except EmonetError as error:
        logging.getLogger("emonet").error(str(error))
        sys.exit(STARTUP_FAILURE)


def _allow_many_connections() -> None:
    """Raise the number of open files, and so of connections, to what the system allows."""
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
