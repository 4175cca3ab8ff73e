"""Grey face crops from detections, framed like the training faces."""

from cmath import rect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import radians

import numpy as np
from numpy.typing import NDArray

from emonet.config import Alignment, Framing
from emonet.errors import ImageError
from emonet.pipeline.images import ImageSource, is_array, is_single_image, load_image, plain_array
from emonet.plugin import Box, Detection
from emonet.results import FaceCrop

#: Less tilted heads are cropped as they are, degrees. Training faces are tilted so far, too.
MIN_ROLL = 12.0
#: A square in any direction lies inside an upright one that is larger by this factor.
DIAGONAL = 1.5
#: Where a detector's five landmarks lie in FER-2013's faces: the median of the faces of PublicTest,
#: made symmetrical. The origin is the centre of the face, and its side is 1.
FIVE_LANDMARKS = np.array(
    [(-0.180, -0.106), (0.180, -0.106), (0.0, 0.098), (-0.147, 0.246), (0.147, 0.246)]
)

#: The same faces in several sizes: (height, width) -> uint8 (n, height, width).
FacesBySize = Mapping[tuple[int, int], NDArray[np.uint8]]
#: float64 (2, 3): multiplied by (x, y, 1) of a pixel of a crop, its x, y in the image.
Matrix = NDArray[np.float64]


def crop_faces(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing | None,
    sizes: Sequence[tuple[int, int]],
    alignment: Alignment = "none",
) -> FacesBySize:
    """Crop faces from an image; outside the image, its edge pixels are repeated.

    Args:
        image: uint8 (height, width, 3) RGB.
        detections: the detector's faces.
        framing: maps the detector's box to the square that is cropped; None takes the square
            from the five landmarks, which every detection must have.
        sizes: (height, width) of the crops, pixels; one or more.
        alignment: ``eyes`` turns the square of a tilted head, so that its eyes are level.

    Returns:
        Grey crops by size, uint8 (len(detections), height, width).

    Raises:
        ImageError: OpenCV can't crop a face, for example for lack of memory.
    """
    crops = {size: np.empty((len(detections), *size), np.uint8) for size in sizes}
    for index, (grey, _) in enumerate(_upright_faces(image, detections, framing, alignment)):
        for size, faces in crops.items():
            faces[index] = _resized(grey, size)
    return crops


def located_crops(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing | None,
    size: tuple[int, int],
    alignment: Alignment = "none",
) -> list[FaceCrop]:
    """Crop faces as crop_faces does, and tell where each pixel lies in the image."""
    located = []
    for grey, matrix in _upright_faces(image, detections, framing, alignment):
        across, down = grey.shape[1] / size[1], grey.shape[0] / size[0]
        # Coordinates are those of the pixels' centres.
        scale = [[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5], [0, 0, 1]]
        located.append(FaceCrop(_resized(grey, size), matrix @ np.array(scale)))
    return located


def _upright_faces(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing | None,
    alignment: Alignment,
) -> Iterator[tuple[NDArray[np.uint8], Matrix]]:
    """Yield each face as a grey square, and the matrix from its pixels to those of the image."""
    import cv2

    for detection in detections:
        roll = 0.0 if alignment == "none" or detection.framed else detection.roll
        try:
            if abs(roll) < MIN_ROLL:
                square, matrix = _cut(image, *_square(detection, framing))
            else:
                square, matrix = _turned(image, *_square(detection, framing, roll), roll)
            grey = _grey(square)
        except (cv2.error, MemoryError) as error:
            raise ImageError(f"Cannot crop a face: {error}") from error
        yield grey, matrix


def faces_by_size(
    faces: NDArray[np.uint8] | Iterable[ImageSource], sizes: tuple[tuple[int, int], ...]
) -> FacesBySize:
    """Return face crops resized to one or more sizes.

    Args:
        faces: uint8 (n, height, width) grey; or one image, or an iterable of images, with one
            face each.
        sizes: (height, width) of the results, pixels; one or more.

    Raises:
        ImageError: an image can't be read.
    """
    if is_array(faces):
        faces = plain_array(faces)
        if faces.dtype == np.uint8 and sizes == (faces.shape[1:],):
            return {sizes[0]: faces}
    elif is_single_image(faces):
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
    """Return faces in any form as grey uint8 (height, width) images."""
    if isinstance(faces, np.ndarray) and (
        faces.ndim == 2 or (faces.ndim == 3 and faces.shape[2] in (1, 3, 4))
    ):
        raise ImageError(
            f"Faces must be a list of images or (n, height, width), got shape {faces.shape}: "
            f"put a single image into a list"
        )
    if isinstance(faces, np.ndarray) and faces.dtype == np.uint8 and faces.ndim == 3:
        if len(faces):
            load_image(faces[0])  # checks the shape, which all faces share
        return faces
    return (_grey(_load(face, index)) for index, face in enumerate(faces))


def _load(face: ImageSource, index: int) -> NDArray[np.uint8]:
    """Load one of many faces; an error names its index."""
    try:
        return load_image(face)
    except ImageError as error:
        raise type(error)(f"Face {index}: {error}") from error


def whole_face(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a uint8 (height, width, 3) RGB image as a grey face of ``size``, uncropped."""
    return _resized(_grey(image), size)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert uint8 (height, width, 3) RGB to uint8 (height, width) luma (ITU-R BT.601)."""
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def resampling(
    old: tuple[int, int], new: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the float32 (new, old) matrices that resize faces along height and along width.

    Args:
        old: (height, width) of the faces, pixels.
        new: (height, width) of the resized faces, pixels.
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
    """Return OpenCV's interpolation: area to shrink faces, else linear."""
    import cv2

    shrinks = old[0] >= new[0] and old[1] >= new[1]
    return int(cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _square(
    detection: Detection, framing: Framing | None, roll: float = 0.0
) -> tuple[float, float, float]:
    """Return (x, y) of the centre and the side of the square to crop, pixels.

    The offset from the box turns with the head.
    """
    if detection.framed:
        framing = Framing()
    if framing is None and detection.landmarks is not None:
        return square_of_landmarks(detection.landmarks)
    framing = framing or Framing()
    box, side = detection.box, box_side(detection.box)
    shift = complex(framing.shift_x, framing.shift_y) * rect(1, radians(roll))
    x = box.x + box.width / 2 + shift.real * side
    y = box.y + box.height / 2 + shift.imag * side
    return x, y, framing.scale * side


def has_own_square(detection: Detection) -> bool:
    """Return whether a face can be cropped without a framing: by its box or by five landmarks."""
    return detection.framed or (detection.landmarks is not None and len(detection.landmarks) == 5)


def square_of_landmarks(landmarks: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return (x, y) of the centre and the side of a face like FER-2013's, from five landmarks.

    It is the square in which FIVE_LANDMARKS are nearest to the landmarks (least squares).
    """
    x, y = landmarks.astype(float).T
    found, model = x + 1j * y, FIVE_LANDMARKS[:, 0] + 1j * FIVE_LANDMARKS[:, 1]
    spread = model - model.mean()
    turn = np.vdot(spread, found - found.mean()) / np.vdot(spread, spread).real
    centre = found.mean() - turn * model.mean()
    return float(centre.real), float(centre.imag), float(abs(turn))


def _cut(
    image: NDArray[np.uint8], x: float, y: float, side: float
) -> tuple[NDArray[np.uint8], Matrix]:
    """Cut a square from an image; at least one pixel lies inside the image."""
    import cv2

    height, width = image.shape[:2]
    # A square larger than twice the image's side would be mostly border.
    side = min(max(1, round(side)), 2 * max(height, width))
    left, top = round(x - side / 2), round(y - side / 2)
    # A shift must not move the square entirely off the image.
    left, top = min(max(left, 1 - side), width - 1), min(max(top, 1 - side), height - 1)
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    border = (
        max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width)
    )  # fmt: skip
    square = cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE)
    return np.asarray(square, np.uint8), np.array([[1.0, 0, left], [0, 1, top]])


def _turned(
    image: NDArray[np.uint8], x: float, y: float, side: float, roll: float
) -> tuple[NDArray[np.uint8], Matrix]:
    """Cut a square that is turned by ``roll`` degrees from an image, and turn it upright."""
    import cv2

    around, place = _cut(image, x, y, DIAGONAL * side)
    whole, inner = len(around), max(1, round(len(around) / DIAGONAL))
    matrix = cv2.getRotationMatrix2D(((whole - 1) / 2, (whole - 1) / 2), roll, 1)
    matrix[:, 2] -= (whole - inner) / 2
    upright = cv2.warpAffine(
        around, matrix, (inner, inner), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    back = cv2.invertAffineTransform(matrix)
    back[:, 2] += place[:, 2]
    return np.asarray(upright, np.uint8), np.asarray(back, np.float64)


def box_side(box: Box) -> float:
    """Return the side of the square with the same area as a box, pixels."""
    return float(np.sqrt(box.width * box.height))
