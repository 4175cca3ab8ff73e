"""Detections -> grey face crops, framed as the training faces are.

Every detector draws its boxes in its own way: some from the brows, some from the hairline. A
Framing says how to get from a detector's box to the square that the training faces were cut
along. It is measured by running the detector on training faces.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.config import Framing
from emonet.pipeline.detection import detect_faces
from emonet.plugin import Box, Detection, Detector

__all__ = ["crop_faces", "measure_framing", "whole_face"]

# Detectors need faces of some 80 pixels, and something around them.
MEASURED_SIDE = 192
MEASURED_BORDER = 64
LEAST_FOUND = 5
MOST_MEASURED = 150


def crop_faces(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing,
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Cut faces out of an image; beyond its edges, the edge is repeated.

    Args:
        image: uint8 (height, width, 3) RGB.
        detections: where the detector found them.
        framing: from the detector's box to the square that is cut out.
        size: (height, width) of a crop, pixels.

    Returns:
        uint8 (len(detections), height, width), grey.
    """
    crops = np.empty((len(detections), *size), np.uint8)
    for detection, crop in zip(detections, crops, strict=True):
        square = _square(image, detection.box, Framing() if detection.framed else framing)
        crop[:] = whole_face(square, size)
    return crops


def whole_face(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Make a whole uint8 (height, width, 3) RGB image a grey face of (height, width) pixels."""
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrinks = grey.shape[0] >= size[0] and grey.shape[1] >= size[1]
    resampling = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(grey, (size[1], size[0]), interpolation=resampling)
    return np.asarray(resized, np.uint8)


def measure_framing(detector: Detector, faces: NDArray[np.uint8]) -> Framing | None:
    """Find out how training faces are framed, in terms of a detector's boxes.

    Args:
        detector: whose boxes are meant.
        faces: uint8 (n, height, width) grey, as the training set frames them; some 150 of
            them, evenly spread, are looked at.

    Returns:
        The median over the faces in which the detector finds exactly one; None if those are
        too few to tell.
    """
    import cv2

    measured = []
    for face in faces[:: max(1, len(faces) // MOST_MEASURED)]:
        large = cv2.resize(face, (MEASURED_SIDE, MEASURED_SIDE), interpolation=cv2.INTER_CUBIC)
        border = (MEASURED_BORDER,) * 4
        framed = cv2.copyMakeBorder(large, *border, cv2.BORDER_REPLICATE)
        found = detect_faces(detector, cv2.cvtColor(framed, cv2.COLOR_GRAY2RGB))
        if len(found) == 1 and not found[0].framed:
            measured.append(_framing(found[0].box))
    if len(measured) < LEAST_FOUND:
        return None
    scale, shift_x, shift_y = np.median(measured, axis=0).round(3).tolist()
    return Framing(scale=scale, shift_x=shift_x, shift_y=shift_y)


def _framing(box: Box) -> tuple[float, float, float]:
    """Return (scale, shift_x, shift_y) from a box in an enlarged, bordered training face."""
    side = _side(box)
    centre = MEASURED_BORDER + MEASURED_SIDE / 2
    return (
        MEASURED_SIDE / side,
        (centre - (box.x + box.width / 2)) / side,
        (centre - (box.y + box.height / 2)) / side,
    )


def _square(image: NDArray[np.uint8], box: Box, framing: Framing) -> NDArray[np.uint8]:
    """Cut the framed square out of an image, at least one pixel of it inside."""
    import cv2

    side = max(1, round(framing.scale * _side(box)))
    left = round(box.x + box.width / 2 + framing.shift_x * _side(box) - side / 2)
    top = round(box.y + box.height / 2 + framing.shift_y * _side(box) - side / 2)
    height, width = image.shape[:2]
    # A shift must not move the square off the image altogether.
    left, top = min(max(left, 1 - side), width - 1), min(max(top, 1 - side), height - 1)
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    border = (
        max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width)
    )  # fmt: skip
    return np.asarray(cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE), np.uint8)


def _side(box: Box) -> float:
    return float(np.sqrt(box.width * box.height))
