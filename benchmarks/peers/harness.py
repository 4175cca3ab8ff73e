"""Measures one library in its own environment; needs NumPy and nothing of emonet."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.memory import peak_mib
from benchmarks.timing import measure

#: From uint8 (n, 48, 48) grey faces to anything that has one answer for each.
Predict = Callable[[np.ndarray], object]


def run(distribution: str, variants: Mapping[str, Callable[[], Predict]]) -> None:
    """Measure the variant that is asked for, and print a row.

    Args:
        distribution: the library's, for its version.
        variants: load the library and return what answers about faces.
    """
    request = json.loads(sys.argv[1])
    faces = np.frombuffer(Path(request["faces"]).read_bytes(), np.uint8).reshape(-1, 48, 48)
    predict = variants[request["variant"]]()
    answers = predict(faces[:1])
    cold = 1000 * (time.time() - request["started"])
    assert len(answers) == 1, f"{len(answers)} answers about one face"
    limits = {"runs": request["runs"], "seconds": request["seconds"]}
    single = measure(lambda: predict(faces[:1]), **limits)
    batch = measure(lambda: predict(faces), **limits)
    row = {
        "version": version(distribution),
        "faces": len(faces),
        "faces_per_s": 1000 * len(faces) / batch["ms_p50"],
        "single_ms": single["ms_p50"],
        "single_ms_p95": single["ms_p95"],
        "cold_ms": cold,
        "peak_rss_mib": peak_mib(),
        "runs": batch["runs"],
        "cut": batch["cut"] or single["cut"],
    }
    print(json.dumps(row))
