"""Draw heat maps on photos."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emonet.drawing import draw
from emonet.results import Face, FaceCrop

if TYPE_CHECKING:
    import PIL.Image

RED, BLUE = (235, 30, 0), (0, 90, 255)
#: Opacity of the largest value.
OPACITY = 0.65


#: A face with the label to draw, its map of shape (height, width), and its crop.
Heated = tuple[Face, NDArray[np.float32], FaceCrop]


def draw_heat_maps(image: NDArray[np.uint8], faces: Sequence[Heated]) -> "PIL.Image.Image":
    """Return a copy of an image with each face's heat map, box and label."""
    heated = image.copy()
    for _, values, crop in faces:
        _heat(heated, values, crop)
    return draw(heated, [face for face, _, _ in faces])


def _heat(image: NDArray[np.uint8], values: NDArray[np.float32], crop: FaceCrop) -> None:
    """Colour one face in place."""
    import cv2

    matrix, (rows, columns) = crop.to_image, values.shape
    # The part of the image that the crop covers.
    corners = np.array([(x, y, 1) for x in (-0.5, columns - 0.5) for y in (-0.5, rows - 0.5)])
    places = corners @ matrix.T
    left, top = np.maximum(np.floor(places.min(axis=0) + 0.5), 0).astype(int)
    right, bottom = np.ceil(places.max(axis=0) + 0.5).astype(int)
    part = image[top:bottom, left:right]
    largest = float(np.abs(values).max())
    if not part.size or not largest:
        return
    moved = matrix - [[0, 0, left], [0, 0, top]]
    # A border of its own value keeps the outermost half pixels.
    warped = cv2.warpAffine(
        values / largest, moved, (part.shape[1], part.shape[0]), borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine(
        np.ones_like(values), moved, (part.shape[1], part.shape[0]), flags=cv2.INTER_NEAREST
    )
    opacity = (OPACITY * inside * np.abs(warped))[..., np.newaxis]
    colours = np.where(warped[..., np.newaxis] > 0, RED, BLUE)
    part[:] = np.rint(part + opacity * (colours - part)).astype(np.uint8)
