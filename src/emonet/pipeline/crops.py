"""Grey face crops from detections, framed like the training faces."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.config import Framing
from emonet.errors import ImageError
from emonet.pipeline.images import ImageSource, is_array, is_single_image, load_image, plain_array
from emonet.plugin import Box, Detection
from emonet.results import FaceCrop

#: The same faces in several sizes: (height, width) -> uint8 (n, height, width).
FacesBySize = Mapping[tuple[int, int], NDArray[np.uint8]]


def crop_faces(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing,
    sizes: Sequence[tuple[int, int]],
) -> FacesBySize:
    """Crop faces from an image; outside the image, its edge pixels are repeated.

    Args:
        image: uint8 (height, width, 3) RGB.
        detections: the detector's faces.
        framing: maps the detector's box to the square that is cropped.
        sizes: (height, width) of the crops, pixels; one or more.

    Returns:
        Grey crops by size, uint8 (len(detections), height, width).

    Raises:
        ImageError: OpenCV can't crop a face, for example for lack of memory.
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
        raise ImageError(f"Cannot crop a face: {error}") from error
    return crops


def located_crops(
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    framing: Framing,
    size: tuple[int, int],
) -> list[FaceCrop]:
    """Crop faces as crop_faces does, and tell where each pixel lies in the image."""
    height, width = size
    located = []
    pixels = crop_faces(image, detections, framing, [size])[size]
    for face, detection in zip(pixels, detections, strict=True):
        left, top, side = _place(image, detection.box, Framing() if detection.framed else framing)
        across, down = side / width, side / height
        # Coordinates are those of the pixels' centres.
        matrix = [[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]]
        located.append(FaceCrop(face, np.array(matrix)))
    return located


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


def _square(image: NDArray[np.uint8], box: Box, framing: Framing) -> NDArray[np.uint8]:
    """Crop the framed square from an image; at least one pixel lies inside the image."""
    import cv2

    left, top, side = _place(image, box, framing)
    height, width = image.shape[:2]
    inside = image[max(top, 0) : top + side, max(left, 0) : left + side]
    border = (
        max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width)
    )  # fmt: skip
    return np.asarray(cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE), np.uint8)


def _place(image: NDArray[np.uint8], box: Box, framing: Framing) -> tuple[int, int, int]:
    """Return left, top and side of the framed square, pixels of the image."""
    height, width = image.shape[:2]
    # A square larger than twice the image's side would be mostly border.
    side = min(max(1, round(framing.scale * box_side(box))), 2 * max(height, width))
    left = round(box.x + box.width / 2 + framing.shift_x * box_side(box) - side / 2)
    top = round(box.y + box.height / 2 + framing.shift_y * box_side(box) - side / 2)
    # A shift must not move the square entirely off the image.
    return min(max(left, 1 - side), width - 1), min(max(top, 1 - side), height - 1), side


def box_side(box: Box) -> float:
    """Return the side of the square with the same area as a box, pixels."""
    return float(np.sqrt(box.width * box.height))
