"""Many faces through a runtime, so many at a time that memory stays bounded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.network.runtimes import Runtime

__all__ = ["BATCH_SIZE", "run_in_batches"]

BATCH_SIZE = 128


def run_in_batches(
    runtime: Runtime, faces: NDArray[np.uint8], features: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Run uint8 (n, height, width) faces and their (n, size) vectors; n >= 1.

    Returns:
        float32 (n, classes), row i for face i.
    """
    results = []
    for start in range(0, len(faces), BATCH_SIZE):
        part = slice(start, start + BATCH_SIZE)
        results.append(
            runtime(faces[part].astype(np.float32), [feature[part] for feature in features])
        )
    return np.concatenate(results)
