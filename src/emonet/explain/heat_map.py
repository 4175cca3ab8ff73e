"""Draw heat maps on photos."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emonet.drawing import draw
from emonet.results import Face, FaceCrop

if TYPE_CHECKING:
    import PIL.Image

RED, BLUE = (235, 30, 0), (0, 90, 255)
#: Opacity of the largest value.
OPACITY = 0.65
#: A point without effect, the outline of points, and the largest radius in sides of the crop.
WHITE, BLACK, RADIUS = (255, 255, 255), (0, 0, 0), 1 / 40
#: OpenCV draws in fractions of a pixel, given as bits.
BITS = 4


class Heated(NamedTuple):
    """What to draw of a face.

    Attributes:
        face: has the label to draw.
        values: the map, (height, width).
        crop: the face crop of the map.
        points: x, y in pixels of the crop, and the value of each point.
    """

    face: Face
    values: NDArray[np.float32]
    crop: FaceCrop
    points: Sequence[tuple[float, float, float]] = ()


def draw_heat_maps(image: NDArray[np.uint8], faces: Sequence[Heated]) -> "PIL.Image.Image":
    """Return a copy of an image with each face's heat map, points, box and label."""
    heated = image.copy()
    for one in faces:
        _heat(heated, one.values, one.crop)
        _draw_points(heated, one.points, one.crop)
    return draw(heated, [one.face for one in faces])


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


def _draw_points(
    image: NDArray[np.uint8], points: Sequence[tuple[float, float, float]], crop: FaceCrop
) -> None:
    """Draw the points of one face in place, the strongest last."""
    import cv2

    largest = max((abs(value) for *_, value in points), default=0) or 1
    # Pixels of the image per pixel of the crop.
    scale = float(np.hypot(*crop.to_image[:, 0]))
    for x, y, value in sorted(points, key=lambda point: abs(point[2])):
        strength = abs(value) / largest
        place = crop.to_image @ (x - 0.5, y - 0.5, 1)
        colour = np.array(RED if value > 0 else BLUE) * strength + np.array(WHITE) * (1 - strength)
        radius = max(2.0, RADIUS * scale * crop.pixels.shape[1] * (0.3 + 0.7 * strength))
        centre = [int(part * 2**BITS) for part in place]
        for ring, filled in ((radius + 1, BLACK), (radius, colour.tolist())):
            cv2.circle(image, centre, int(ring * 2**BITS), filled, -1, cv2.LINE_AA, BITS)
