"""Figures for Prometheus: requests, times, images, faces, queue and batches."""

import os
import time
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_TYPE_LATEST", "DIRECTORY", "MeasureRequests", "Metrics"]

#: With several workers, prometheus_client adds up their figures in files of this folder.
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ITEMS = (1, 2, 4, 8, 16)


class Metrics:
    """The figures of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter(
            "emonet_requests", "Requests.", ["endpoint", "status"], registry=registry
        )
        self.seconds = Histogram(
            "emonet_request_seconds",
            "Time to answer.",
            ["endpoint"],
            buckets=SECONDS,
            registry=registry,
        )
        self.images = Counter("emonet_images", "Images, by result.", ["result"], registry=registry)
        self.faces = Counter("emonet_faces", "Faces found.", registry=registry)
        self.queue = Gauge(
            "emonet_queue_images",
            "Images that wait.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.batch = Histogram(
            "emonet_batch_images", "Images of a batch.", buckets=ITEMS, registry=registry
        )
        if DIRECTORY not in os.environ:
            ProcessCollector(registry=self._registry)
        else:
            _forget_dead(Path(os.environ[DIRECTORY]))

    def text(self) -> bytes:
        """Return all figures in Prometheus's format; of all workers if there are several."""
        if DIRECTORY not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _forget_dead(folder: Path) -> None:
    """Remove the gauges of workers that died; their counters still count."""
    for file in folder.glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            multiprocess.mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


class MeasureRequests:
    """ASGI middleware that counts requests and measures the time to answer.

    Args:
        app: the application.
        metrics: gets the figures.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start = "none", time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The path itself is a stranger's text, of which there is no end.
            endpoint = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(endpoint, status).inc()
            self._metrics.seconds.labels(endpoint).observe(time.perf_counter() - start)
