"""Measure rows in other processes, because a process may run out of memory."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.options import Options

#: Exit status of a worker that ran out of memory.
OUT_OF_MEMORY = 75

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # By default, TensorFlow takes all GPU memory, and two processes can't share the GPU.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    # Downloads would distort the times.
    "HF_HUB_OFFLINE": "1",
}


def rows(part: str, tasks: list[dict], options: Options) -> Iterator[dict]:
    """Measure tasks one after the other in one process, and yield a row for each task.

    If a task runs out of memory, a new process tries it again with half the batch.

    Args:
        part: name of the module that measures, such as ``benchmarks.networks``.
        tasks: the tasks to measure.
        options: options of the run.
    """
    left = list(tasks)
    while left:
        with tempfile.TemporaryFile() as log:
            worker = _start(part, left, options, log)
            for line in worker.stdout:
                left.pop(0)
                yield json.loads(line)
            worker.stdout.close()
            status = worker.wait()
            log.seek(0)
            log_text = log.read().decode(errors="replace").strip()
        if left:
            task = left.pop(0)
            # Without memory, the kernel may kill the process, or a library may crash.
            smaller = _halved(task) if status == OUT_OF_MEMORY or status < 0 else None
            if smaller is None:
                yield task | {"error": f"process exited with status {status}: {log_text[-500:]}"}
            else:
                left.insert(0, smaller)


def ran_size(task: dict) -> int:
    """Return the batch size that a task runs with."""
    return task.get("ran_batch_size", task["batch_size"])


def _start(part: str, tasks: list[dict], options: Options, log: object) -> subprocess.Popen:
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker"],
        cwd=ROOT,
        env={**SETTINGS, **os.environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    json.dump({"part": part, "tasks": tasks, "options": asdict(options)}, worker.stdin)
    worker.stdin.close()
    return worker


def _halved(task: dict) -> dict | None:
    """Return the task with half the batch size, or None if the size can't be halved."""
    if "batch_size" not in task or ran_size(task) == 1:
        return None
    size = ran_size(task)
    too_large = [*task.get("too_large", ()), size]
    return task | {"ran_batch_size": size // 2, "too_large": too_large}
