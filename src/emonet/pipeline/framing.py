"""Measure the framing of training faces relative to a detector's boxes.

Some detectors draw a box from the brows, others from the hairline. A Framing maps a detector's
box to the square that the training faces were cropped to.
"""

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emonet.config import Framing
from emonet.errors import ConfigError
from emonet.model import Model
from emonet.pipeline.crops import box_side, faces_by_size
from emonet.pipeline.detection import detect_faces
from emonet.plugin import Box, Detector

logger = logging.getLogger("emonet")

# Detectors need faces of about 80 pixels or more, with a border.
SCENE_SIDE = 192
SCENE_BORDER = 64
# Some detectors draw boxes in steps of a fifth. So each measured face has another size, from here
# to twice of it, and another place.
MIN_SIDE = 128
MIN_FOUND = 5
MAX_MEASURED = 150


def measure_framing(model: Model, detector: Detector, faces: NDArray[np.uint8]) -> Model:
    """Measure the framing of a model's detector on training faces.

    Args:
        model: the model.
        detector: the model's detector.
        faces: uint8 (n, height, width) grey, framed like the training faces. At most 299 of
            them, evenly spread, are measured.

    Returns:
        The model with the median framing of all faces where the detector finds exactly one face.
        If there are fewer than 5 such faces, or the result is implausible, the function logs a
        warning and returns the model unchanged. It also returns the model unchanged if the
        detector frames faces itself.
    """
    size = model.config.face_sizes[0]
    chosen = faces_by_size(evenly_spread(faces, MAX_MEASURED), (size,))[size]
    framing = _measure(detector, chosen)
    if framing is None:
        return model
    return replace(model, config=model.config.with_framing(model.config.detector.name, framing))


def evenly_spread(faces: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return count to 2 * count - 1 evenly spread faces; all if there are fewer."""
    return faces[:: max(1, len(faces) // count)]


def as_scene(
    face: NDArray[np.uint8],
    side: int = SCENE_SIDE,
    border: tuple[int, int, int, int] = (SCENE_BORDER,) * 4,
) -> NDArray[np.uint8]:
    """Return a uint8 grey face crop as an RGB image large enough for a detector.

    The crop is enlarged to ``side`` pixels. ``border`` is added above, below, left and right.
    """
    import cv2

    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    bordered = cv2.copyMakeBorder(large, *border, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(bordered, cv2.COLOR_GRAY2RGB), np.uint8)


def _measure(detector: Detector, faces: NDArray[np.uint8]) -> Framing | None:
    random = np.random.default_rng(0)
    measured = []
    for face in faces:
        side = int(MIN_SIDE * 2 ** random.random())
        top, bottom, left, right = random.integers(side // 4, side // 2, 4).tolist()
        detections = detect_faces(detector, as_scene(face, side, (top, bottom, left, right)))
        if any(detection.framed for detection in detections):
            return None
        if len(detections) == 1:
            measured.append(_framing(detections[0].box, Box(left, top, side, side)))
    if len(measured) < MIN_FOUND:
        logger.warning(
            "The framing was not measured: the detector finds exactly one face in only %d of %d "
            "training faces. Faces in photos may be cropped differently from the training faces",
            len(measured), len(faces),
        )  # fmt: skip
        return None
    scale, shift_x, shift_y = np.median(measured, axis=0).round(3).tolist()
    try:
        return Framing(scale=scale, shift_x=shift_x, shift_y=shift_y)
    except ConfigError as error:
        logger.warning("The framing was not measured, because it is implausible: %s", error)
        return None


def _framing(box: Box, square: Box) -> tuple[float, float, float]:
    """Return (scale, shift_x, shift_y) of a square in terms of a detector's box."""
    side = box_side(box)
    return (
        square.width / side,
        (square.x + square.width / 2 - (box.x + box.width / 2)) / side,
        (square.y + square.height / 2 - (box.y + box.height / 2)) / side,
    )
