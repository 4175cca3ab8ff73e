"""Detect faces in images, in any number of threads."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import Detection, Detector


class DetectorPool:
    """A pool of detectors of one kind; each detector processes one image at a time.

    Args:
        build: builds a detector; called when all others are in use.
    """

    def __init__(self, build: Callable[[], Detector]) -> None:
        self._build = build
        self._idle: deque[Detector] = deque()  # append and pop are thread-safe

    @contextmanager
    def borrow(self) -> Iterator[Detector]:
        """Yield a detector that no other thread uses."""
        try:
            detector = self._idle.pop()
        except IndexError:
            detector = self._build()
        try:
            yield detector
        finally:
            self._idle.append(detector)


def detect_faces(detector: Detector, image: NDArray[np.uint8]) -> list[Detection]:
    """Return the faces in an RGB uint8 (height, width, 3) image, highest score first."""
    return sorted(detector.detect(image), key=lambda detection: -detection.score)
