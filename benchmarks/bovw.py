"""Compare BOVW's batched HOG values with scikit-image's ``hog``, called for each window."""

import numpy as np

import emonet
from benchmarks.faces import ready_faces
from benchmarks.options import Options
from benchmarks.timing import measure as timed

KEYS = ("extractor",)
METRICS = ("ms_per_face", "scikit_image_ms_per_face", "ratio")
DETAILS = ("ms_p50", "ms_p95", "runs")


def tasks(options: Options) -> list[list[dict]]:
    """Return the tasks: a single row."""
    return [[{"extractor": "bovw, HOG only, L1"}]]


def measure(task: dict, options: Options) -> dict:
    """Return both times in milliseconds per face, and their ratio."""
    faces = ready_faces(512, options)
    sample = faces[: 4 if options.quick else 64]
    bovw = emonet.create_feature_extractor("bovw", landmarks=False, block_norm="L1")
    limits = {"runs": options.runs, "seconds": options.seconds}
    batched = timed(lambda: bovw.transform(faces), **limits)
    looped = timed(lambda: [window_by_window(face) for face in sample], **limits)
    per_face = batched["ms_p50"] / len(faces)
    reference = looped["ms_p50"] / len(sample)
    return {
        **batched,
        "ms_per_face": per_face,
        "scikit_image_ms_per_face": reference,
        "ratio": reference / per_face,
    }


def window_by_window(face: np.ndarray) -> np.ndarray:
    """Return the HOG values of one face from scikit-image, with block_norm L1."""
    from skimage.feature import hog

    windows = [
        face[top : top + 24, left : left + 24]
        for top in range(0, 48, 6)
        for left in range(0, 48, 6)
    ]
    settings = {"orientations": 8, "pixels_per_cell": (8, 8), "cells_per_block": (1, 1)}
    return np.concatenate(
        [hog(w, **settings, block_norm="L1") for w in windows if min(w.shape) >= 8]
    )
