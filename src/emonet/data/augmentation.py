"""Augmentation: random changes to faces that keep their expression.

Rotation, shear, zoom, shift and horizontal flip are one affine warp per face. It takes about
15 microseconds for 48x48 pixels, which leaves the processor's cores to the network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError
from emonet.plugin import require_number

MAX_VALUES = {
    "rotation": 180,
    "shear": 80,
    "zoom": 0.9,
    "shift": 1,
    "contrast": 1,
    "brightness": 255,
    "exposure": 4,
    "jpeg_compression": 1,
    "random_erasing": 1,
}
#: Lowest and highest JPEG quality: blocks are obvious at 20 and hardly visible at 60.
JPEG_QUALITIES = (20, 60)
#: Range of the erased fraction of the face, and of the ratio of height to width.
ERASED_AREA, ERASED_RATIO = (0.02, 0.2), (0.5, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Ranges of random changes to faces; each change is drawn uniformly and independently.

    Attributes:
        rotation: largest rotation in either direction, degrees, 0..180.
        shear: largest shear in either direction, degrees, 0..80.
        zoom: largest change of scale, 0..0.9; 0.1 draws scales from 0.9 to 1.1.
        shift: largest shift in x and in y, as a fraction of the side, 0..1.
        horizontal_flip: whether half of the faces are flipped horizontally.
        contrast: largest change of contrast around the face's mean, as a fraction, 0..1.
        brightness: largest change of brightness, grey values, 0..255.
        exposure: largest change of exposure, stops, 0..4; 1 draws from half to twice the
            light. Values above 255 are clipped, as in a camera.
        jpeg_compression: probability of JPEG compression at a quality of 20 to 60.
        random_erasing: probability of covering a random rectangle, 2 to 20 % of the face, with
            noise (Zhong et al. 2017).
    """

    rotation: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    horizontal_flip: bool = False
    contrast: float = 0.0
    brightness: float = 0.0
    exposure: float = 0.0
    jpeg_compression: float = 0.0
    random_erasing: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ConfigError: a number is out of its range, or horizontal_flip is neither true nor false.
        """
        for name, maximum in MAX_VALUES.items():
            require_number("augmentation", name, getattr(self, name), 0, maximum)
        if not isinstance(self.horizontal_flip, bool):
            raise ConfigError(
                f"augmentation: horizontal_flip must be true or false, got "
                f"{self.horizontal_flip!r:.80}"
            )


def augment_geometry(
    faces: NDArray[np.uint8], settings: Augmentation, random: "np.random.Generator"
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return every face rotated, sheared, zoomed, shifted and flipped at random.

    Args:
        faces: uint8 (n, height, width); not changed.
        settings: the ranges.
        random: random number generator; equal states give equal results.

    Returns:
        uint8 (n, height, width) faces, and bool (n,): whether each face was flipped. Training
        needs the flags to choose between the feature vectors of plain and flipped faces.
    """
    flipped = random.random(len(faces)) < (0.5 if settings.horizontal_flip else 0.0)

    def draw(limit: float) -> NDArray[np.float64]:
        return random.uniform(-limit, limit, len(faces))

    return _warp(faces, affine(faces.shape[1:], flipped, settings, draw, np)), flipped


def augment_appearance(
    faces: NDArray[np.float32], settings: Augmentation, random: "np.random.Generator"
) -> None:
    """Change light, compression and occlusion of faces at random, in place.

    Args:
        faces: float32 (n, height, width), 0..255.
        settings: the ranges.
        random: random number generator; equal states give equal results.
    """
    if settings.contrast or settings.brightness or settings.exposure:
        _relight(faces, settings, random)
    if settings.jpeg_compression:
        _compress(faces, settings.jpeg_compression, random)
    if settings.random_erasing:
        _erase(faces, settings.random_erasing, random)


def affine(
    size: tuple[int, int],
    flipped: Any,
    settings: Augmentation,
    draw: Callable[[float], Any],
    numpy: Any,
) -> Any:
    """Return (n, 2, 3) matrices that map augmented to original coordinates, about the centre.

    Args:
        size: (height, width) of the faces.
        flipped: bool (n,): which faces to flip.
        settings: the ranges.
        draw: returns (n,) random numbers in -limit..limit, given the limit.
        numpy: NumPy or ``jax.numpy``, whose arrays these are.
    """
    height, width = size
    angle = numpy.deg2rad(draw(settings.rotation))
    shear = numpy.tan(numpy.deg2rad(draw(settings.shear)))
    scale = 1 / (1 + draw(settings.zoom))
    flip = numpy.where(flipped, -1.0, 1.0)
    cos, sin = scale * numpy.cos(angle), scale * numpy.sin(angle)
    rows = (flip * cos, flip * (cos * shear - sin)), (sin, sin * shear + cos)
    x, y = (width - 1) / 2, (height - 1) / 2
    shifts = (x + draw(settings.shift) * width, y + draw(settings.shift) * height)
    return numpy.stack(
        [
            numpy.stack([a, b, shift - (a * x + b * y)], axis=1)
            for (a, b), shift in zip(rows, shifts, strict=True)
        ],
        axis=1,
    )


def _warp(faces: NDArray[np.uint8], matrices: NDArray[np.float64]) -> NDArray[np.uint8]:
    import cv2

    height, width = faces.shape[1:]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = np.empty(faces.shape, np.uint8)
    for face, matrix, out in zip(faces, matrices, warped, strict=True):
        cv2.warpAffine(
            face, matrix, (width, height), out, flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )
    return warped


def _relight(
    faces: NDArray[np.float32], settings: Augmentation, random: "np.random.Generator"
) -> None:
    """Change exposure, contrast and brightness in place."""
    count = (len(faces), 1, 1)
    if settings.exposure:
        stops = random.uniform(-settings.exposure, settings.exposure, count)
        faces *= np.exp2(stops).astype(np.float32)
        np.minimum(faces, 255, out=faces)
    gain = (1 + random.uniform(-settings.contrast, settings.contrast, count)).astype(np.float32)
    offset = random.uniform(-settings.brightness, settings.brightness, count).astype(np.float32)
    mean = faces.mean(axis=(1, 2), keepdims=True)
    np.clip((faces - mean) * gain + mean + offset, 0, 255, out=faces)


def _compress(
    faces: NDArray[np.float32], probability: float, random: "np.random.Generator"
) -> None:
    """Compress some faces as JPEG and decode them again, in place."""
    import cv2

    low, high = JPEG_QUALITIES
    for index in np.flatnonzero(random.random(len(faces)) < probability):
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(low, high + 1))]
        _, encoded = cv2.imencode(".jpg", np.rint(faces[index]).astype(np.uint8), quality)
        faces[index] = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def _erase(faces: NDArray[np.float32], probability: float, random: "np.random.Generator") -> None:
    """Cover a rectangle in some faces with noise, in place (Zhong et al. 2017)."""
    height, width = faces.shape[1:]
    for index in np.flatnonzero(random.random(len(faces)) < probability):
        area, ratio = random.uniform(*ERASED_AREA) * height * width, random.uniform(*ERASED_RATIO)
        rows = min(height, max(1, round(np.sqrt(area * ratio))))
        columns = min(width, max(1, round(np.sqrt(area / ratio))))
        top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
        noise = random.uniform(0, 255, (rows, columns))
        faces[index, top : top + rows, left : left + columns] = noise
