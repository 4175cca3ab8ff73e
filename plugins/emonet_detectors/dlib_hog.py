"""dlib's frontal face detector: HOG features and a linear classifier (King 2015)."""

import threading

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import Box, Detection, require_number
from emonet_detectors.shrinking import shrunk

LARGEST = 6400


class DlibHog:
    """Finds frontal faces of some 80 pixels and more; 40 with ``upsample`` 1.

    Args:
        upsample: how many times the image is doubled in size first.
        score_threshold: the least score of a face; 0 is dlib's own, which takes a fold of
            cloth for a face now and then.
        max_side: larger images are shrunk to this for detection, pixels; to less if doubling
            would make it more than 6400.
    """

    def __init__(self, upsample: int, score_threshold: float, max_side: int) -> None:
        import dlib

        require_number("dlib_hog", "upsample", upsample, 0, 4, whole=True)
        require_number("dlib_hog", "score_threshold", score_threshold, -1, 10)
        require_number("dlib_hog", "max_side", max_side, 80, LARGEST, whole=True)
        self._upsample = upsample
        self._score_threshold = score_threshold
        # The doubled image is held in memory.
        self._max_side = min(max_side, LARGEST >> upsample)
        self._detector = dlib.get_frontal_face_detector()
        # It keeps its scanner's state while it runs: one thread at a time.
        self._lock = threading.Lock()

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Find faces in an RGB uint8 (height, width, 3) image."""
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
            # dlib may report a face that lies in the padding around the image.
            if box.right() >= 0 and box.bottom() >= 0
            if box.left() < small.shape[1] and box.top() < small.shape[0]
        ]
