"""Measure one library in its own environment. It needs NumPy, but not emonet."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.memory import peak_mib
from benchmarks.timing import measure

#: Scores of one face: by the library's own class names, or in the order of LABELS.
Answer = Mapping[str, float] | np.ndarray
#: A function from uint8 (n, 48, 48) grey faces to one answer per face.
Predict = Callable[[np.ndarray], Sequence[Answer] | np.ndarray]
#: A function from the path of a film to the number of its frames with a face.
Watch = Callable[[str], int]

#: The classes in FER-2013's order.
LABELS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")


def run(
    distribution: str,
    variants: Mapping[str, Callable[[], Predict]],
    films: Mapping[str, Callable[[], Watch]] | None = None,
) -> None:
    """Measure the requested variant and print its row as JSON.

    Args:
        distribution: name of the library's package, to look up its version.
        variants: functions that load the library and return a Predict function, by name.
        films: functions that load the library and return a Watch function, by name.
    """
    request = json.loads(sys.argv[1])
    if "film" in request:
        row = _film((films or {})[request["variant"]](), request)
    else:
        row = _faces(variants[request["variant"]](), request)
    print(json.dumps({"version": version(distribution), **row}))


def _film(watch: Watch, request: dict) -> dict:
    limits = {"runs": request["runs"], "seconds": request["seconds"]}
    found = watch(request["film"])
    began = time.process_time()
    watch(request["film"])
    cpu = time.process_time() - began
    times = measure(lambda: watch(request["film"]), **limits)
    return {
        "frames_with_face": found,
        "frames_per_s": 1000 * request["frames"] / times["ms_p50"],
        "cpu_ms_per_frame": 1000 * cpu / request["frames"],
        "peak_rss_mib": peak_mib(),
        "runs": times["runs"],
        "cut": times["cut"],
    }


def _faces(predict: Predict, request: dict) -> dict:
    faces = _read(request["faces"])
    answers = predict(faces[:1])
    cold = 1000 * (time.time() - request["started"])
    assert len(answers) == 1, f"expected 1 answer for 1 face, got {len(answers)}"
    limits = {"runs": request["runs"], "seconds": request["seconds"]}
    single = measure(lambda: predict(faces[:1]), **limits)
    batch = measure(lambda: predict(faces), **limits)
    row = {
        "faces": len(faces),
        "faces_per_s": 1000 * len(faces) / batch["ms_p50"],
        "single_ms": single["ms_p50"],
        "single_ms_p95": single["ms_p95"],
        "cold_ms": cold,
        "peak_rss_mib": peak_mib(),
        "runs": batch["runs"],
        "cut": batch["cut"] or single["cut"],
    }
    if request["labelled"]:
        row["said"] = _labels(predict, _read(request["labelled"]), len(faces))
    return row


def _read(file: str) -> np.ndarray:
    return np.frombuffer(Path(file).read_bytes(), np.uint8).reshape(-1, 48, 48)


def _labels(predict: Predict, faces: np.ndarray, size: int) -> list[str]:
    """Return each face's most probable label; predict ``size`` faces per call."""
    return [
        _label(answer)
        for start in range(0, len(faces), size)
        for answer in predict(faces[start : start + size])
    ]


def _label(answer: Answer) -> str:
    if not isinstance(answer, Mapping):
        return LABELS[int(np.argmax(answer))]
    return max(answer, key=lambda name: answer[name])
