"""Test-time augmentation: views of a face, whose probabilities are averaged."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emonet.config import TestTimeAugmentation

#: Shift as a fraction of the side: 2 pixels of 48.
SHIFT = 2 / 48

#: Shifts of each view, (down, right), in units of SHIFT.
OFFSETS = {
    "none": ((0, 0),),
    "horizontal_flip": ((0, 0),),
    "shift": ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)),
}


def views(
    faces: NDArray[np.uint8], augmentation: TestTimeAugmentation
) -> Iterator[NDArray[np.uint8]]:
    """Yield the views of all faces, one view after the other; the first is unchanged.

    Args:
        faces: uint8 (n, height, width).
        augmentation: ``"none"`` has 1 view; ``"horizontal_flip"`` has 2, plain and flipped;
            ``"shift"`` has 10: plain and flipped, each unshifted and shifted in four directions.

    Yields:
        uint8 (n, height, width).
    """
    if augmentation == "none":
        yield faces
        return
    for rows, columns in view_indices(faces.shape[1:], augmentation):
        yield faces.take(rows, axis=1).take(columns, axis=2)


def view_indices(
    size: tuple[int, ...], augmentation: TestTimeAugmentation
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (row indices, column indices) of each view for faces of (height, width)."""
    for down, right in OFFSETS[augmentation]:
        rows, columns = _indices(size[0], down), _indices(size[1], right)
        yield rows, columns
        if augmentation != "none":
            yield rows, columns[::-1]


def shifted(faces: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Shift uint8 (n, height, width) faces by multiples of SHIFT of their side.

    Edge pixels are repeated.
    """
    height, width = faces.shape[1:]
    vertical = faces.take(_indices(height, down), axis=1)
    return np.asarray(vertical.take(_indices(width, right), axis=2))


def _indices(count: int, steps: int) -> NDArray[np.int64]:
    """Return the source index of each of ``count`` rows or columns after a shift by ``steps``."""
    distance = steps * max(1, round(SHIFT * count))
    return (np.arange(count) - distance).clip(0, count - 1)
