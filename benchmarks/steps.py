"""Measure the processor time of each step for a photo, on one core.

Steps are reading and decoding the photo, finding its face, and classifying a face with each
bundled model. Processor time counts only while this process runs, so other programs disturb it less
than they disturb the time on the clock.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import emonet
from benchmarks.faces import ready_faces
from benchmarks.options import Options
from benchmarks.photos import example_photo
from emonet.pipeline.images import load_image
from emonet.support.cores import limit_threads

DETECTOR = "yunet"
#: Faces that a model classifies at once, as in a run over many photos.
FACES = 128
REPEATS = 20

KEYS = ("step", "model")
METRICS = ("cpu_ms",)
DETAILS = ("photo_bytes", "photo_pixels", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return a row for each step, all in one process."""
    from emonet.storage.sources import bundled_models

    steps = [("decode", ""), ("detect", ""), *(("classify", name) for name in bundled_models())]
    return [[{"step": step, "model": model} for step, model in steps]]


def measure(task: dict, options: Options) -> dict:
    """Measure one step."""
    limit_threads(1)
    with example_photo() as path:
        step, count = _step(task, path, options)
        times = []
        end = time.perf_counter() + options.seconds
        for number in range(options.runs + 1):
            start = time.process_time()
            step()
            if number:  # the first run warms up
                times.append(1000 * (time.process_time() - start) / count)
            if time.perf_counter() > end and times:
                break
        image = load_image(path)
        return {
            "cpu_ms": median(times),
            "photo_bytes": Path(path).stat().st_size,
            "photo_pixels": image.shape[0] * image.shape[1],
            "runs": len(times),
            "cut": len(times) < options.runs,
        }


def _step(task: dict, path: str, options: Options) -> tuple[Callable[[], object], int]:
    """Return a function that carries out a step, and for how many photos or faces."""
    if task["step"] == "decode":
        return lambda: [load_image(path) for _ in range(REPEATS)], REPEATS
    if task["step"] == "detect":
        detector, image = emonet.create_detector(DETECTOR), load_image(path)
        return lambda: [detector.detect(image) for _ in range(REPEATS)], REPEATS
    faces = ready_faces(8 if options.quick else FACES, options)
    recognizer = emonet.EmotionRecognizer.from_pretrained(task["model"])
    return lambda: recognizer.predict_proba(faces), len(faces)
