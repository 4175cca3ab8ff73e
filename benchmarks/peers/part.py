"""Compare emonet with other libraries on the same face crops: speed, cold start and memory.

With labelled data, the part also measures accuracy: the fraction of the split's faces whose most
probable label is correct.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.faces import ready_faces
from benchmarks.options import Options
from benchmarks.peers.environments import PEERS, Peer
from benchmarks.processes import ROOT

FACES = 256
QUICK_FACES = 8

KEYS = ("peer", "variant")
METRICS = ("faces_per_s", "accuracy", "single_ms", "cold_ms", "peak_rss_mib")
DETAILS = ("faces", "labelled_faces", "single_ms_p95", "version", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return a row for each variant of each peer."""
    return [
        [{"peer": peer.name, "variant": variant}] for peer in PEERS for variant in peer.variants
    ]


def measure(task: dict, options: Options) -> dict:
    """Run one peer in its environment."""
    peer = next(peer for peer in PEERS if peer.name == task["peer"])
    count = QUICK_FACES if options.quick else FACES
    faces = ready_faces(count, options)
    labelled, labels = _labelled(options, count) if peer.trained else (None, [])
    with tempfile.TemporaryDirectory() as folder:
        request = {
            "variant": task["variant"],
            "faces": _write(faces, Path(folder) / "faces.raw"),
            "labelled": labelled is not None and _write(labelled, Path(folder) / "labelled.raw"),
        }
        row = ask(peer, request, options)
    if "said" in row:
        row |= _accuracy(row.pop("said"), labels)
    return row


def ask(peer: Peer, request: dict, options: Options) -> dict:
    """Run a peer in its environment and return its answer, or why there is none."""
    command = peer.command(None if options.peers is None else Path(options.peers).resolve())
    if isinstance(command, str):
        return {"skipped": command}
    limits = {"runs": options.runs, "seconds": options.seconds, "started": time.time()}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, json.dumps(request | limits)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        return {"error": f"exited with status {done.returncode}: {done.stderr.strip()[-500:]}"}
    row = json.loads(done.stdout.splitlines()[-1])
    return row | ({"note": peer.note} if peer.note else {})


def _labelled(options: Options, count: int) -> tuple[np.ndarray | None, list[str]]:
    """Return the faces and labels of the split; only the first ``count`` in a quick run."""
    if options.data is None:
        return None, []
    from emonet import load_dataset

    dataset = load_dataset(options.data, options.split)
    some = slice(count if options.quick else None)
    return dataset.images[some], [dataset.labels[index] for index in dataset.classes[some]]


def _write(faces: np.ndarray, file: Path) -> str:
    """Write the pixels without a header, so that Node.js can read them, and return the path."""
    file.write_bytes(np.ascontiguousarray(faces).tobytes())
    return str(file)


def _accuracy(said: list[str], labels: list[str]) -> dict:
    from emonet.labels import canonical_label

    right = [canonical_label(name) == label for name, label in zip(said, labels, strict=True)]
    return {"accuracy": sum(right) / len(right), "labelled_faces": len(right)}
