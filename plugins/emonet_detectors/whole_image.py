"""Detector for images that show one face already."""

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import Box, Detection


class WholeImage:
    """Take the largest square in the centre of the image as the face."""

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return one detection, whatever the image shows."""
        height, width = image.shape[:2]
        side = min(height, width)
        box = Box((width - side) / 2, (height - side) / 2, side, side)
        return [Detection(box, framed=True)]
