"""Landmarks of many faces, on every core.

dlib's shape predictor holds Python's global lock, so threads would not help. Forking a process
in which TensorFlow runs is unsafe, and multiprocessing would run the user's script again; so
each worker is a Python of its own that gets faces on its standard input.
"""

import io
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

__all__ = ["locate_in_parallel"]

#: Starting a worker takes as long as some hundred faces.
LEAST_PER_WORKER = 1000


def locate_in_parallel(
    predictor: Any, model: Path, faces: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Do what locate_landmarks does, in several processes where there are many faces.

    Args:
        predictor: from load_predictor(model), for this process's own share.
        model: the predictor's file.
        faces: uint8 (n, height, width) grey.

    Returns:
        float32 (n, 136).
    """
    count = min(usable_cores(), len(faces) // LEAST_PER_WORKER)
    if count < 2 or not sys.executable:
        return locate_landmarks(predictor, faces)
    mine, *others = np.array_split(faces, count)
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for share in others:
            workers.append(_start(model))
            _feed(workers[-1], share)
        parts = [locate_landmarks(predictor, mine)]
        for worker, share in zip(workers, others, strict=True):
            parts.append(_result(worker, len(share)))
    except (_WorkerError, OSError):
        # Whatever a worker lacks, this process has.
        return locate_landmarks(predictor, faces)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in filter(None, (worker.stdin, worker.stdout)):
                with suppress(OSError):  # it did not take all that was written
                    pipe.close()
    return np.concatenate(parts)


class _WorkerError(Exception):
    """A worker did not do its share."""


def _start(model: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-m", "emonet_bovw.workers", str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _feed(worker: "subprocess.Popen[bytes]", faces: NDArray[np.uint8]) -> None:
    with suppress(OSError):  # it died: its result will be missing
        if worker.stdin is not None:
            with worker.stdin:
                worker.stdin.write(_packed(faces))


def _result(worker: "subprocess.Popen[bytes]", count: int) -> NDArray[np.float32]:
    output = worker.stdout.read() if worker.stdout is not None else b""
    try:
        coordinates = _unpacked(output)
    except (ValueError, EOFError, OSError) as error:
        raise _WorkerError from error
    if worker.wait() != 0 or len(coordinates) != count:
        raise _WorkerError
    return np.asarray(coordinates, np.float32)


def _work() -> None:
    """Be a worker: faces in, coordinates out."""
    faces = _unpacked(sys.stdin.buffer.read())  # first, so that nobody waits for the predictor
    predictor = load_predictor(Path(sys.argv[1]))
    sys.stdout.buffer.write(_packed(locate_landmarks(predictor, faces)))


def _packed(array: NDArray[Any]) -> bytes:
    """Return an array in NumPy's file format, which np.save can't write to a pipe."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _unpacked(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return array


if __name__ == "__main__":
    _work()
