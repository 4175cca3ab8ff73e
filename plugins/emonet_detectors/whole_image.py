"""For images that are faces already."""

import numpy as np
from numpy.typing import NDArray

from emonet.plugin import Box, Detection


class WholeImage:
    """Takes the largest centred square of the image for the face."""

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """Return one detection."""
        height, width = image.shape[:2]
        side = min(height, width)
        box = Box((width - side) / 2, (height - side) / 2, side, side)
        return [Detection(box, framed=True)]
