"""Downscale large images for detection."""

import numpy as np
from numpy.typing import NDArray


def shrunk(image: NDArray[np.uint8], max_side: int) -> tuple[NDArray[np.uint8], float]:
    """Return the image with sides of at most max_side pixels, and the factor back."""
    import cv2

    factor = max(image.shape[:2]) / max_side
    if factor <= 1:
        return image, 1.0
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), factor
