"""dlib's frontal face detector: HOG features and a linear classifier (King 2015)."""

import threading

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import Box, Detection, require_number
from emonet_detectors.shrinking import shrunk

LARGEST = 6400


class DlibHog:
    """Find frontal faces of about 80 pixels or more, or of 40 or more with ``upsample`` 1.

    Args:
        upsample: how many times the image is doubled in size before detection.
        score_threshold: the lowest score of a face. With dlib's default, 0, a fold of cloth
            is sometimes taken for a face.
        max_side: larger images are downscaled to this size for detection, pixels. The size is
            smaller if doubling it would exceed 6400.
    """

    def __init__(self, upsample: int, score_threshold: float, max_side: int) -> None:
        import dlib

        require_number("dlib_hog", "upsample", upsample, 0, 4, whole=True)
        require_number("dlib_hog", "score_threshold", score_threshold, -1, 10)
        require_number("dlib_hog", "max_side", max_side, 80, LARGEST, whole=True)
        self._upsample = upsample
        self._score_threshold = score_threshold
        # The doubled image must fit into memory.
        self._max_side = min(max_side, LARGEST >> upsample)
        self._detector = dlib.get_frontal_face_detector()
        # dlib's detector has state while it runs, so only one thread may use it.
        self._lock = threading.Lock()

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return the faces in an RGB uint8 (height, width, 3) image."""
        small, factor = shrunk(image, self._max_side)
        with self._lock:
            boxes, scores, _ = self._detector.run(
                np.ascontiguousarray(small), self._upsample, self._score_threshold
            )
        return [
            Detection(
                Box(
                    box.left() * factor,
                    box.top() * factor,
                    box.width() * factor,
                    box.height() * factor,
                ),
                score,
            )
            for box, score in zip(boxes, scores, strict=True)
            # dlib may report a face in the padding around the image.
            if box.right() >= 0 and box.bottom() >= 0
            if box.left() < small.shape[1] and box.top() < small.shape[0]
        ]
