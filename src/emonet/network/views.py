"""Test-time augmentation: the views of a face whose probabilities are averaged."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emonet.config import TestTimeAugmentation

__all__ = ["shifted", "view_indices", "views"]

#: How far faces are shifted: 2 of 48 pixels, and as much of other sizes.
SHIFT = 2 / 48

#: In units of that: (down, right) from the original place.
OFFSETS = {
    "none": ((0, 0),),
    "mirror": ((0, 0),),
    "shift": ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)),
}


def views(
    faces: NDArray[np.uint8], augmentation: TestTimeAugmentation
) -> Iterator[NDArray[np.uint8]]:
    """Yield all faces in one view after the other, the faces as they are first.

    Args:
        faces: uint8 (n, height, width).
        augmentation: ``"none"``: the faces alone; ``"mirror"``: and mirrored; ``"shift"``:
            both of these in place and shifted in four directions, 10 views.

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
    """Yield the rows and the columns that each view takes from faces of (height, width)."""
    for down, right in OFFSETS[augmentation]:
        rows, columns = _indices(size[0], down), _indices(size[1], right)
        yield rows, columns
        if augmentation != "none":
            yield rows, columns[::-1]


def shifted(faces: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Move uint8 (n, height, width) faces by so many times 2 of 48 pixels.

    The edge that a face moves away from is repeated.
    """
    height, width = faces.shape[1:]
    moved = faces.take(_indices(height, down), axis=1)
    return np.asarray(moved.take(_indices(width, right), axis=2))


def _indices(count: int, steps: int) -> NDArray[np.int64]:
    """Return which of so many rows or columns come to stand where, moved by so many steps."""
    distance = steps * max(1, round(SHIFT * count))
    return (np.arange(count) - distance).clip(0, count - 1)
