"""Compare ``emonet serve`` on loopback with ``stream`` on the same photo, in the same run.

Each connection sends one photo after the other. The server is a process of its own; rounds of
requests and rounds of ``stream`` alternate.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

import emonet
from benchmarks.options import Options
from benchmarks.photos import example_photo

CONNECTIONS = (1, 32)
PHOTOS = 128  # of a round
START_SECONDS = 120

KEYS = ("model", "connections")
METRICS = ("times_stream", "images_per_s", "stream_images_per_s", "ms_p50", "ms_p99", "errors")
DETAILS = ("images", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return a row for each bundled model and number of connections."""
    from emonet.storage.sources import bundled_models

    return [
        [{"model": model, "connections": count} for count in CONNECTIONS]
        for model in bundled_models()
    ]


def measure(task: dict, options: Options) -> dict:
    """Measure one model with a number of connections."""
    count = task["connections"]
    images = count * (2 if options.quick else max(2, PHOTOS // count // (8 if count == 1 else 1)))
    recognizer = emonet.EmotionRecognizer.from_pretrained(task["model"])
    with example_photo() as path, server("--model", task["model"]) as url:
        photo = Path(path).read_bytes()
        port = int(url.rpartition(":")[2])
        answers, rates, stream_rates = [], [], []
        end = time.perf_counter() + options.seconds
        for number in range(options.runs + 1):
            stream_rate = images / _seconds(lambda: list(recognizer.stream([photo] * images)))
            start = time.perf_counter()
            round_answers = asyncio.run(load(port, photo, connections=count, images=images))
            rate = images / (time.perf_counter() - start)
            if number == 0:
                continue  # to warm up
            answers += round_answers
            rates.append(rate)
            stream_rates.append(stream_rate)
            if time.perf_counter() > end:
                break
    times = [1000 * seconds for status, seconds in answers if status == 200]
    percentiles = quantiles(times, n=100, method="inclusive")
    return {
        "images": images,
        "images_per_s": median(rates),
        "stream_images_per_s": median(stream_rates),
        "times_stream": median(a / b for a, b in zip(rates, stream_rates, strict=True)),
        "ms_p50": percentiles[49],
        "ms_p99": percentiles[98],
        "errors": len(answers) - len(times),
        "runs": len(rates),
        "cut": len(rates) < options.runs,
    }


async def load(
    port: int, photo: bytes, *, connections: int, images: int
) -> list[tuple[int, float]]:
    """Send a photo many times; return status and seconds of each answer."""
    request = (
        f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(photo)}\r\n\r\n"
    ).encode() + photo

    async def one(count: int) -> list[tuple[int, float]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = []
        for _ in range(count):
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]))
            answers.append((int(head.split()[1]), time.perf_counter() - start))
        writer.close()
        return answers

    parts = await asyncio.gather(*(one(images // connections) for _ in range(connections)))
    return [answer for part in parts for answer in part]


@contextmanager
def server(*arguments: str) -> Iterator[str]:
    """Run ``emonet serve`` on a free port; yield its URL when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "emonet", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = re.search(r"http://[^\s;]+", process.stderr.readline())[0]
        wait_until_ready(url)
        yield url
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


def wait_until_ready(url: str) -> None:
    """Return when a service is ready.

    Raises:
        TimeoutError: it is not ready in two minutes.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with urlopen(f"{url}/readyz") as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{url} is not ready after {START_SECONDS} s")


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
