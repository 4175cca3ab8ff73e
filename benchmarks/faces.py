"""Face crops to measure with. Speed does not depend on their content."""

import numpy as np

from benchmarks.options import Options


def ready_faces(count: int, options: Options) -> np.ndarray:
    """Return uint8 (count, 48, 48) faces from the split of ``options.data``, or random faces."""
    if options.data is None:
        return np.random.default_rng(0).integers(0, 256, (count, 48, 48), dtype=np.uint8)
    from emonet import load_dataset

    images = load_dataset(options.data, options.split).images
    return np.resize(images, (count, *images.shape[1:]))
