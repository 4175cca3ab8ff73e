"""Images -> detections."""

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import Detection, Detector

__all__ = ["detect_faces"]


def detect_faces(detector: Detector, image: NDArray[np.uint8]) -> list[Detection]:
    """Find the faces in an RGB uint8 (height, width, 3) image, the surest first."""
    return sorted(detector.detect(image), key=lambda detection: -detection.score)
