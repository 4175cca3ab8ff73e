"""Histograms of oriented gradients (HOG) in sliding windows, for a whole batch at once.

The paper's features (after amineHorseman/facial-expression-recognition-using-cnn) call
scikit-image's ``hog`` on 64 windows. A window starts at every sixth pixel of a 48x48 face, is
24 pixels wide, and is clipped at the border. A block has one cell of 8x8 pixels.

This module computes the gradients once per face. Only a window's border differs from the face:
scikit-image sets the vertical gradient to 0 in a window's first and last row, and the horizontal
gradient in its first and last column. The orientation of the other gradient is then known in
advance: 0 or 90 degrees.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIDE = 48
WINDOW = 24
STEP = 6
CELL = 8
ORIENTATIONS = 8

BLOCK_NORMS = ("L1", "L1-sqrt", "L2", "L2-Hys")
EPSILON = 1e-5
HYSTERESIS = 0.2

# (start, end) of each window along one axis; windows smaller than a cell are left out.
_SPANS = [
    (start, min(start + WINDOW, SIDE))
    for start in range(0, SIDE, STEP)
    if min(start + WINDOW, SIDE) - start >= CELL
]
# (window, first pixel) of each cell along one axis, window by window.
_CELLS = [
    (window, top)
    for window, (start, end) in enumerate(_SPANS)
    for top in range(start, end - CELL + 1, CELL)
]

NUM_HOG = len(_CELLS) ** 2 * ORIENTATIONS

# Faces per step: the intermediate arrays of 16 faces fit into the processor's cache.
_CHUNK = 16


def sliding_hog(faces: NDArray[np.uint8], block_norm: str) -> NDArray[np.float32]:
    """Return the HOG values of uint8 (n, 48, 48) grey faces as float32 (n, 2592), 0..1.

    Windows come in reading order. Each window lists its cells in reading order, and each cell 8
    orientations of 22.5 degrees, from 0.
    """
    values = np.empty((len(faces), NUM_HOG), np.float32)
    order = _reading_order()
    for start in range(0, len(faces), _CHUNK):
        part = slice(start, start + _CHUNK)
        cells = _normalised(_histograms(faces[part]), block_norm)
        values[part] = cells[:, order].reshape(len(cells), NUM_HOG)
    return values


def windows() -> Iterator[tuple[int, int, int, tuple[float, float, float, float]]]:
    """Yield row, column, number of values and place of each window, in the order of the values.

    A place is x, y, width and height as shares of the face's side.
    """
    cells = [len(range(start, end - CELL + 1, CELL)) for start, end in _SPANS]
    for row, (top, bottom) in enumerate(_SPANS):
        for column, (left, right) in enumerate(_SPANS):
            place = (left / SIDE, top / SIDE, (right - left) / SIDE, (bottom - top) / SIDE)
            yield row, column, cells[row] * cells[column] * ORIENTATIONS, place


def _histograms(faces: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean magnitude per pixel as (n, cells down * cells across, orientations)."""
    down, across = _gradients(faces)
    magnitudes, orientations = _polar_table()
    index = (down + 255) * 511 + (across + 255)
    magnitude, orientation = magnitudes[index], orientations[index]
    inside, border = _cell_sums()
    # Sum over the columns of a cell first: (n, orientations, pixels down, cells across).
    by_orientation = np.zeros((len(faces), ORIENTATIONS, SIDE, SIDE))
    np.put_along_axis(by_orientation, orientation[:, np.newaxis], magnitude[:, np.newaxis], axis=1)
    sums = inside @ (by_orientation @ inside.T)
    # A horizontal gradient alone has the orientation 0 degrees, a vertical gradient alone 90.
    # In a corner of the window both gradients are 0.
    sums[:, 0] += border @ (np.abs(across, dtype=np.float64) @ inside.T)
    sums[:, ORIENTATIONS // 2] += inside @ (np.abs(down, dtype=np.float64) @ border.T)
    per_cell = np.moveaxis(sums, 1, -1).reshape(len(faces), -1, ORIENTATIONS)
    return per_cell / CELL**2


def _gradients(faces: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the central differences down and across, 0 at the face's border."""
    wide = faces.astype(np.int32)
    down, across = np.zeros_like(wide), np.zeros_like(wide)
    np.subtract(wide[:, 2:], wide[:, :-2], out=down[:, 1:-1])
    np.subtract(wide[:, :, 2:], wide[:, :, :-2], out=across[:, :, 1:-1])
    return down, across


def _normalised(cells: NDArray[np.float64], block_norm: str) -> NDArray[np.float64]:
    """Normalise each cell on its own: a block is one cell."""

    def l2(values: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.einsum("...i,...i->...", values, values)[..., np.newaxis]
        return np.asarray(values / np.sqrt(squares + EPSILON**2))

    if block_norm == "L2":
        return l2(cells)
    if block_norm == "L2-Hys":
        return l2(np.minimum(l2(cells), HYSTERESIS))
    fractions = cells / (cells.sum(axis=-1, keepdims=True) + EPSILON)
    return np.asarray(np.sqrt(fractions) if block_norm == "L1-sqrt" else fractions)


@cache
def _polar_table() -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the magnitude and orientation bin of each pair (down, across) in -255..255."""
    steps = np.arange(-255, 256, dtype=np.float64)
    down, across = steps[:, np.newaxis], steps[np.newaxis, :]
    degrees = np.rad2deg(np.arctan2(down, across)) % 180
    bins = (degrees / (180 / ORIENTATIONS)).astype(np.intp)
    return np.hypot(down, across).ravel(), bins.ravel()


@cache
def _cell_sums() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two (cells, pixels) matrices of 0 and 1 for one axis.

    The first marks each cell's pixels inside its window's border, the second the pixels on it.
    """
    inside = np.zeros((len(_CELLS), SIDE))
    border = np.zeros_like(inside)
    for cell, (window, top) in enumerate(_CELLS):
        inside[cell, top : top + CELL] = 1
        start, end = _SPANS[window]
        for edge in {start, end - 1} & set(range(top, top + CELL)):
            inside[cell, edge], border[cell, edge] = 0, 1
    return inside, border


@cache
def _reading_order() -> NDArray[np.intp]:
    """Return the flat indices of the cells, sorted by window and by cell in the window."""
    windows = np.array([window for window, _ in _CELLS])
    cells = np.arange(len(_CELLS) ** 2).reshape(len(_CELLS), len(_CELLS))
    return np.concatenate(
        [
            cells[np.ix_(windows == row, windows == column)].ravel()
            for row in range(len(_SPANS))
            for column in range(len(_SPANS))
        ]
    )
