"""RISE (Petsiuk et al. 2018): hide random parts of a face, and see how probabilities change."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

#: Cells of a mask along each side; each cell is hidden with a probability of one half.
CELLS = 7
#: Masks that are in memory at once.
MASKS_PER_STEP = 128


def occlusion_maps(
    predict_proba: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    faces: Sequence[NDArray[np.uint8]],
    classes: Sequence[int],
    *,
    masks: int,
    seed: int,
) -> list[NDArray[np.float32]]:
    """Return one float32 (height, width) map per face.

    A value is the mean probability of the class while the pixel is visible, minus the mean
    probability while it is hidden. Hidden pixels get the mean grey value of the face.

    Args:
        predict_proba: maps uint8 (n, height, width) to float32 (n, classes).
        faces: uint8 (height, width) crops of one size.
        classes: the class to explain in each face.
        masks: number of masks; the same for every face.
        seed: seed of the masks.
    """
    if not faces:
        return []
    height, width = faces[0].shape
    random = np.random.default_rng(seed)
    visible, hidden = np.zeros((2, len(faces), height, width))
    seen = unseen = np.zeros((height, width))
    for step in _masks(random, masks, (height, width)):
        seen, unseen = seen + step.sum(axis=0), unseen + (1 - step).sum(axis=0)
        for index, (face, chosen) in enumerate(zip(faces, classes, strict=True)):
            grey = face.mean()
            covered = np.rint(grey + step * (face - grey)).astype(np.uint8)
            scores = predict_proba(covered)[:, chosen].astype(np.float64)
            visible[index] += np.tensordot(scores, step, 1)
            hidden[index] += scores.sum() - np.tensordot(scores, step, 1)
    return list((visible / seen - hidden / unseen).astype(np.float32))


def _masks(
    random: np.random.Generator, count: int, size: tuple[int, int]
) -> Iterator[NDArray[np.float32]]:
    """Yield ``count`` smooth random masks in steps: float32 (n, height, width), 0..1."""
    import cv2

    height, width = size
    down, across = -(-height // CELLS), -(-width // CELLS)
    for start in range(0, count, MASKS_PER_STEP):
        number = min(MASKS_PER_STEP, count - start)
        cells = random.integers(0, 2, (number, CELLS + 1, CELLS + 1)).astype(np.float32)
        tops = random.integers(0, down, number)
        lefts = random.integers(0, across, number)
        masks = np.empty((number, height, width), np.float32)
        for mask, grid, top, left in zip(masks, cells, tops, lefts, strict=True):
            large = cv2.resize(grid, ((CELLS + 1) * across, (CELLS + 1) * down))
            mask[:] = large[top : top + height, left : left + width]
        yield masks
