"""Detections -> grey face crops, framed as the training faces are.

Every detector draws its boxes in its own way: some from the brows, some from the hairline. A
Framing says how to get from a detector's box to the square that the training faces were cut
along. It is measured by running the detector on training faces.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.config import Framing
from emonet.errors import ConfigError, ImageError
from emonet.pipeline.detection import detect_faces
from emonet.pipeline.images import ImageSource, is_single_image, load_image
from emonet.plugin import Box, Detection, Detector

__all__ = [
    "FacesBySize",
    "as_scene",
    "crop_faces",
    "faces_by_size",
    "measure_framing",
    "resampling",
    "whole_face",
]

logger = logging.getLogger("emonet")

#: The same faces at every (height, width) that some network needs: uint8 (n, height, width).
FacesBySize = Mapping[tuple[int, int], NDArray[np.uint8]]

# Detectors need faces of some 80 pixels, and something around them.
MEASURED_SIDE = 192
MEASURED_BORDER = 64
LEAST_FOUND = 5
MOST_MEASURED = 150


def crop_faces(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing,
    sizes: Sequence[tuple[int, int]],
) -> FacesBySize:
    """Cut faces out of an image; beyond its edges, the edge is repeated.

    Args:
        image: uint8 (height, width, 3) RGB.
        detections: where the detector found them.
        framing: from the detector's box to the square that is cut out.
        sizes: every (height, width) that crops are wanted in, pixels.

    Returns:
        By size, uint8 (len(detections), height, width), grey.

    Raises:
        ImageError: OpenCV can't, for want of memory.
    """
    import cv2

    crops = {size: np.empty((len(detections), *size), np.uint8) for size in sizes}
    try:
        for index, detection in enumerate(detections):
            square = _square(image, detection.box, Framing() if detection.framed else framing)
            grey = _grey(square)
            for size, faces in crops.items():
                faces[index] = _resized(grey, size)
    except (cv2.error, MemoryError) as error:
        raise ImageError(f"A face can't be cut out: {error}") from error
    return crops


def faces_by_size(
    faces: NDArray[np.uint8] | Iterable[ImageSource], sizes: tuple[tuple[int, int], ...]
) -> FacesBySize:
    """Bring faces that are cut out already to every size that is needed.

    Args:
        faces: uint8 (n, height, width) grey, or one image or an iterable of images, each one
            face.
        sizes: every (height, width) that is wanted, pixels.

    Raises:
        ImageError: an image can't be read.
    """
    if isinstance(faces, np.ndarray) and faces.dtype == np.uint8 and sizes == (faces.shape[1:],):
        return {sizes[0]: faces}
    if is_single_image(faces) and not isinstance(faces, np.ndarray):
        faces = [faces]
    resized: dict[tuple[int, int], list[NDArray[np.uint8]]] = {size: [] for size in sizes}
    for grey in _greys(faces):
        for size, crops in resized.items():
            crops.append(_resized(grey, size))
    return {
        size: np.stack(crops) if crops else np.empty((0, *size), np.uint8)
        for size, crops in resized.items()
    }


def _greys(
    faces: NDArray[np.uint8] | Iterable[ImageSource],
) -> Iterable[NDArray[np.uint8]]:
    """Turn faces in any form into grey ones; an array of grey ones is that already."""
    if isinstance(faces, np.ndarray) and (
        faces.ndim == 2 or (faces.ndim == 3 and faces.shape[2] in (1, 3, 4))
    ):
        raise ImageError(
            f"Faces must be a list of images or (n, height, width), got shape {faces.shape}: if "
            f"that is one image, put it into a list"
        )
    if isinstance(faces, np.ndarray) and faces.dtype == np.uint8 and faces.ndim == 3:
        if len(faces):
            load_image(faces[0])  # all have its shape, which may be no image's
        return faces
    return (_grey(_load(face, index)) for index, face in enumerate(faces))


def _load(face: ImageSource, index: int) -> NDArray[np.uint8]:
    """Load one of many faces; an error says which."""
    try:
        return load_image(face)
    except ImageError as error:
        raise type(error)(f"Face {index}: {error}") from error


def whole_face(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Make a whole uint8 (height, width, 3) RGB image a grey face of (height, width) pixels."""
    return _resized(_grey(image), size)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn uint8 (height, width, 3) RGB into uint8 (height, width) luma (ITU-R BT.601)."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def resampling(
    old: tuple[int, int], new: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return float32 (new, old) matrices that resize faces along height and along width.

    Args:
        old: (height, width) of the faces, pixels.
        new: (height, width) that they are to have.
    """
    import cv2

    method = _interpolation(old, new)

    def along(old: int, new: int) -> NDArray[np.float32]:
        matrix = cv2.resize(np.eye(old, dtype=np.float32), (old, new), interpolation=method)
        return np.asarray(matrix, np.float32)

    return along(old[0], new[0]), along(old[1], new[1])


def _resized(grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample a grey face to (height, width) pixels."""
    import cv2

    height, width = grey.shape
    if (height, width) == size:
        return grey
    method = _interpolation((height, width), size)
    return np.asarray(cv2.resize(grey, (size[1], size[0]), interpolation=method), np.uint8)


def _interpolation(old: tuple[int, int], new: tuple[int, int]) -> int:
    """Return OpenCV's method: by area where a face shrinks."""
    import cv2

    shrinks = old[0] >= new[0] and old[1] >= new[1]
    return int(cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def measure_framing(detector: Detector, faces: NDArray[np.uint8]) -> Framing | None:
    """Find out how training faces are framed, in terms of a detector's boxes.

    Args:
        detector: whose boxes are meant.
        faces: uint8 (n, height, width) grey, as the training set frames them; some 150 of
            them, evenly spread, are looked at.

    Returns:
        The median over the faces in which the detector finds exactly one; None if those are
        too few to tell, or the median is out of all proportion, which is logged, or if its
        detections are framed already.
    """
    looked_at = faces[:: max(1, len(faces) // MOST_MEASURED)]
    found = [detect_faces(detector, as_scene(face)) for face in looked_at]
    if any(detection.framed for detections in found for detection in detections):
        return None
    measured = [_framing(detections[0].box) for detections in found if len(detections) == 1]
    if len(measured) < LEAST_FOUND:
        logger.warning(
            "The detector finds a face in %d of %d training faces, too few to tell how they are "
            "framed: photos may be cut otherwise than the training faces are",
            len(measured), len(looked_at),
        )  # fmt: skip
        return None
    scale, shift_x, shift_y = np.median(measured, axis=0).round(3).tolist()
    try:
        return Framing(scale=scale, shift_x=shift_x, shift_y=shift_y)
    except ConfigError as error:
        logger.warning(
            "The detector's boxes are no measure for how the training faces are cut: %s", error
        )
        return None


def as_scene(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a uint8 grey face crop into an RGB image in which a detector can find the face."""
    import cv2

    large = cv2.resize(face, (MEASURED_SIDE, MEASURED_SIDE), interpolation=cv2.INTER_CUBIC)
    bordered = cv2.copyMakeBorder(large, *(MEASURED_BORDER,) * 4, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(bordered, cv2.COLOR_GRAY2RGB), np.uint8)


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

    # A square of more than twice the image's side would be border for the most part.
    most = 2 * max(image.shape[:2])
    side = min(max(1, round(framing.scale * _side(box))), most)
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
