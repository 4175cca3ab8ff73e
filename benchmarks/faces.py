"""Ready faces: speed does not depend on what they show."""

import numpy as np


def ready_faces(count: int, data: str | None = None) -> np.ndarray:
    """Return uint8 (count, 48, 48) faces: FER-2013's PublicTest, or random ones."""
    if data is None:
        return np.random.default_rng(0).integers(0, 256, (count, 48, 48), dtype=np.uint8)
    from emonet import load_dataset

    images = load_dataset(data, "PublicTest").images
    return np.resize(images, (count, *images.shape[1:]))
