"""emonet and other libraries on the same ready faces: a batch, one face, a cold start, memory."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.faces import ready_faces
from benchmarks.options import Options
from benchmarks.peers.environments import PEERS
from benchmarks.processes import ROOT

FACES = 256
QUICK_FACES = 8

KEYS = ("peer", "variant")
METRICS = ("faces_per_s", "single_ms", "cold_ms", "peak_rss_mib")
DETAILS = ("faces", "single_ms_p95", "version", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return a row for each way to run each peer."""
    return [
        [{"peer": peer.name, "variant": variant}] for peer in PEERS for variant in peer.variants
    ]


def measure(task: dict, options: Options) -> dict:
    """Run one peer in its environment."""
    peer = next(peer for peer in PEERS if peer.name == task["peer"])
    environments = None if options.peers is None else Path(options.peers).resolve()
    command = peer.command(environments)
    if isinstance(command, str):
        return {"skipped": command}
    faces = ready_faces(QUICK_FACES if options.quick else FACES, options.data)
    with tempfile.TemporaryDirectory() as folder:
        # Bytes without a header, which node reads as well.
        file = Path(folder) / "faces.raw"
        file.write_bytes(np.ascontiguousarray(faces).tobytes())
        request = {
            "variant": task["variant"],
            "faces": str(file),
            "runs": options.runs,
            "seconds": options.seconds,
            "started": time.time(),
        }
        done = subprocess.run(
            [*command, json.dumps(request)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        return {"error": f"ended with {done.returncode}: {done.stderr.strip()[-500:]}"}
    return json.loads(done.stdout.splitlines()[-1]) | ({"note": peer.note} if peer.note else {})
