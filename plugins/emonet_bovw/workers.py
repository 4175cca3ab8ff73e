"""Locate the landmarks of many faces on several cores.

dlib's shape predictor holds Python's global lock, so threads do not help. Forking is unsafe while
TensorFlow runs, and multiprocessing would run the user's script again. Each worker is therefore
a new Python process that reads faces from its standard input.
"""

import io
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import usable_cores
from emonet_bovw.landmarks import load_predictor, locate_landmarks

logger = logging.getLogger("emonet")

#: Starting a worker takes as long as locating the landmarks of several hundred faces.
LEAST_PER_WORKER = 1000


def locate_in_parallel(
    predictor: Any, model: Path, faces: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Locate landmarks like locate_landmarks; use several processes for many faces.

    This process uses ``predictor``. Each worker loads its own predictor from the file ``model``.
    """
    count = min(usable_cores(), len(faces) // LEAST_PER_WORKER)
    if count < 2 or not sys.executable:
        return locate_landmarks(predictor, faces)
    first, *others = np.array_split(faces, count)
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for part in others:
            workers.append(_start(model))
            _feed(workers[-1], part)
        results = [locate_landmarks(predictor, first)]
        for worker, part in zip(workers, others, strict=True):
            results.append(_result(worker, len(part)))
    except (ValueError, EOFError, OSError) as error:
        logger.warning("A process that locates landmarks failed (%s). Using one core", error)
        return locate_landmarks(predictor, faces)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in filter(None, (worker.stdin, worker.stdout)):
                with suppress(OSError):  # the worker did not read all of its input
                    pipe.close()
    return np.concatenate(results)


def _start(model: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", "emonet_bovw.workers", str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _feed(worker: "subprocess.Popen[bytes]", faces: NDArray[np.uint8]) -> None:
    with suppress(OSError):  # the worker died; _result raises
        if worker.stdin is not None:
            with worker.stdin:
                worker.stdin.write(_packed(faces))


def _result(worker: "subprocess.Popen[bytes]", count: int) -> NDArray[np.float32]:
    coordinates = _unpacked(worker.stdout.read() if worker.stdout is not None else b"")
    if worker.wait() != 0 or len(coordinates) != count:
        raise ValueError("the worker returned no result for its faces")
    return np.asarray(coordinates, np.float32)


def _work() -> None:
    """Run as a worker: read faces from stdin, write coordinates to stdout."""
    # Read before the slow loading: the parent waits until all faces are read.
    faces = _unpacked(sys.stdin.buffer.read())
    predictor = load_predictor(Path(sys.argv[1]))
    sys.stdout.buffer.write(_packed(locate_landmarks(predictor, faces)))


def _packed(array: NDArray[Any]) -> bytes:
    """Return an array in NumPy's file format; np.save can't write to a pipe."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _unpacked(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


if __name__ == "__main__":
    _work()
