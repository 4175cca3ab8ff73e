"""Many faces through a runtime in batches of few sizes, so that it compiles few functions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.network.runtimes import Runtime

__all__ = ["BATCH_SIZES", "run_in_batches"]

#: A batch is filled up with empty faces to the next of these.
BATCH_SIZES = (1, 8, 32, 128)


def run_in_batches(
    runtime: Runtime, faces: NDArray[np.uint8], features: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Run uint8 (n, height, width) faces and their (n, size) vectors; n >= 1.

    Returns:
        float32 (n, classes), row i for face i.
    """
    results = []
    for start in range(0, len(faces), BATCH_SIZES[-1]):
        part = slice(start, start + BATCH_SIZES[-1])
        count = len(faces[part])
        size = next(size for size in BATCH_SIZES if size >= count)
        filled = [_filled(feature[part], size) for feature in features]
        results.append(runtime(_filled(faces[part], size), filled)[:count])
    return np.concatenate(results)


def _filled(array: NDArray[np.generic], size: int) -> NDArray[np.float32]:
    """Return the array as float32 with zero rows up to this many."""
    filled = np.zeros((size, *array.shape[1:]), np.float32)
    filled[: len(array)] = array
    return filled
