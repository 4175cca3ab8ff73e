"""Place labels and charts: inside the picture, beside faces and beside each other."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from emonet.results import Box

#: Left, top, right, bottom in pixels; right and bottom are outside.
Rectangle = tuple[int, int, int, int]


class Layout:
    """The free space of a picture."""

    def __init__(self, width: int, height: int, boxes: Iterable[Box]) -> None:
        """Take the picture's size and the boxes of all faces, which nothing should cover."""
        self._width, self._height = width, height
        taken = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
        self._taken = np.array(taken, np.float64).reshape(-1, 4)

    def place(self, width: int, height: int, corners: Iterable[tuple[int, int]]) -> Rectangle:
        """Take and return a place for a rectangle, where it covers the least of what is there.

        Args:
            width: pixels.
            height: pixels.
            corners: where its top left corner may be, the best first; a place that is not in the
                picture is moved into it.
        """
        places: list[Rectangle] = []
        for x, y in corners:
            left = max(0, min(x, self._width - width))
            top = max(0, min(y, self._height - height))
            places.append((left, top, left + width, top + height))
        best = int(_overlaps(np.array(places, np.float64), self._taken).argmin())
        self._taken = np.vstack([self._taken, places[best]])
        return places[best]


def _overlaps(rectangles: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many pixels of each rectangle (left, top, right, bottom) are taken."""
    low = np.maximum(rectangles[:, None, :2], taken[None, :, :2])
    high = np.minimum(rectangles[:, None, 2:], taken[None, :, 2:])
    return np.asarray(np.maximum(high - low, 0).prod(axis=2).sum(axis=1))
