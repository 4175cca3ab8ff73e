"""Run a network on many faces in batches, so that memory use stays bounded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.runtimes.base import Runtime

#: Faces per call of a network, unless the caller wants another number.
BATCH_SIZE = 128


def run_in_batches(
    runtime: Runtime,
    faces: NDArray[np.uint8],
    features: Sequence[NDArray[np.float32]],
    batch_size: int = BATCH_SIZE,
) -> NDArray[np.float32]:
    """Map uint8 (n, height, width) faces and (n, size) vectors to (n, classes); n >= 1."""
    results = []
    for start in range(0, len(faces), batch_size):
        batch = slice(start, start + batch_size)
        results.append(
            runtime(faces[batch].astype(np.float32), [feature[batch] for feature in features])
        )
    return np.concatenate(results)
