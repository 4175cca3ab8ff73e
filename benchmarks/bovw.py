"""BOVW's HOG values for a batch, against scikit-image's ``hog`` called window by window."""

import numpy as np
from skimage.feature import hog

import emonet
from benchmarks.timing import milliseconds


def run(*, quick: bool) -> dict:
    """Return milliseconds per face of both, and how many times faster emonet is."""
    faces = np.random.default_rng(0).integers(0, 256, (512, 48, 48), dtype=np.uint8)
    sample = faces[: 4 if quick else 64]
    bovw = emonet.create_feature_extractor("bovw", landmarks=False, block_norm="L1")
    repeat = 1 if quick else 9
    batched = milliseconds(lambda: bovw.transform(faces), repeat=repeat)
    looped = milliseconds(lambda: [window_by_window(face) for face in sample], repeat=repeat)
    per_face = {name: value / len(faces) for name, value in batched.items()}
    reference = {name: value / len(sample) for name, value in looped.items()}
    return {
        "ms_per_face": per_face,
        "scikit_image_ms_per_face": reference,
        "ratio": reference["median"] / per_face["median"],
    }


def window_by_window(face: np.ndarray) -> np.ndarray:
    """Compute the same values with scikit-image, L1."""
    windows = [
        face[top : top + 24, left : left + 24]
        for top in range(0, 48, 6)
        for left in range(0, 48, 6)
    ]
    settings = {"orientations": 8, "pixels_per_cell": (8, 8), "cells_per_block": (1, 1)}
    return np.concatenate(
        [hog(w, **settings, block_norm="L1") for w in windows if min(w.shape) >= 8]
    )
