"""Random changes to faces that leave their expression as it is.

One affine warp per face does rotation, shear, zoom, shift and mirroring together: about
15 microseconds for 48x48 pixels, so that the processor's cores stay with the network.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emonet.errors import ConfigError
from emonet.plugin import require_number

__all__ = ["Augmentation", "augment_appearance", "augment_geometry"]

MOST = {
    "rotation": 180,
    "shear": 80,
    "zoom": 0.9,
    "shift": 1,
    "contrast": 1,
    "brightness": 255,
    "exposure": 4,
    "compress": 1,
    "erase": 1,
}
#: What a compressed face is stored with: 20 shows every block, 60 hardly any.
JPEG_QUALITIES = (20, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """The ranges that random changes are drawn from, uniformly and independently.

    Attributes:
        rotation: degrees either way.
        shear: degrees either way.
        zoom: fraction either way; 0.1 draws scales from 0.9 to 1.1.
        shift: fraction of the side, either way, in x and y.
        mirror: exchange left and right in half of the faces.
        contrast: fraction either way, around the face's own mean.
        brightness: grey values either way, 0..255.
        exposure: stops either way: 1 draws factors from half to twice the light, and what gets
            too bright is lost, as in a camera.
        compress: probability of a strong JPEG compression, of quality 20 to 60.
        erase: probability of covering a random rectangle of 2 to 20 % of the face with noise.
    """

    rotation: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    mirror: bool = False
    contrast: float = 0.0
    brightness: float = 0.0
    exposure: float = 0.0
    compress: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        """Refuse ranges that nothing can be drawn from.

        Raises:
            ConfigError: a number is out of its range, or mirror is neither true nor false.
        """
        for name, most in MOST.items():
            require_number("augmentation", name, getattr(self, name), 0, most)
        if not isinstance(self.mirror, bool):
            raise ConfigError(
                f"augmentation: mirror must be true or false, got {self.mirror!r:.80}"
            )


def augment_geometry(
    faces: NDArray[np.uint8], settings: Augmentation, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Turn, slant, zoom, shift and mirror every face at random.

    Args:
        faces: uint8 (n, height, width); stays as it is.
        settings: the ranges.
        random: the source of chance; equal states give equal results.

    Returns:
        uint8 (n, height, width) faces, and bool (n,): which were mirrored, for whoever has
        features of the mirrored faces at hand.
    """
    mirrored = random.random(len(faces)) < (0.5 if settings.mirror else 0.0)
    return _warp(faces, _affine(faces.shape, mirrored, settings, random)), mirrored


def augment_appearance(
    faces: NDArray[np.float32], settings: Augmentation, random: np.random.Generator
) -> None:
    """Change the light of every face at random, compress some, cover parts of some; in place.

    Args:
        faces: float32 (n, height, width), 0..255.
        settings: the ranges.
        random: as for augment_geometry.
    """
    if settings.contrast or settings.brightness or settings.exposure:
        _relight(faces, settings, random)
    if settings.compress:
        _compress(faces, settings.compress, random)
    if settings.erase:
        _erase(faces, settings.erase, random)


def _affine(
    shape: tuple[int, ...],
    mirrored: NDArray[np.bool_],
    settings: Augmentation,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return (n, 2, 3) matrices from changed to original coordinates, about the centre."""
    count, height, width = shape

    def draw(reach: float) -> NDArray[np.float64]:
        return random.uniform(-reach, reach, count)

    angle, shear = np.deg2rad(draw(settings.rotation)), np.tan(np.deg2rad(draw(settings.shear)))
    scale = 1 / (1 + draw(settings.zoom))
    flip = np.where(mirrored, -1.0, 1.0)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    matrices = np.empty((count, 2, 3))
    matrices[:, 0, 0] = flip * cos
    matrices[:, 0, 1] = flip * (cos * shear - sin)
    matrices[:, 1, 0] = sin
    matrices[:, 1, 1] = sin * shear + cos
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.stack([draw(settings.shift) * width, draw(settings.shift) * height], axis=1)
    matrices[:, :, 2] = centre + shift - matrices[:, :, :2] @ centre
    return matrices


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
    faces: NDArray[np.float32], settings: Augmentation, random: np.random.Generator
) -> None:
    """Change exposure, contrast and brightness in place."""
    count = (len(faces), 1, 1)
    if settings.exposure:
        faces *= 2 ** random.uniform(-settings.exposure, settings.exposure, count)
        np.minimum(faces, 255, out=faces)
    gain = 1 + random.uniform(-settings.contrast, settings.contrast, count)
    offset = random.uniform(-settings.brightness, settings.brightness, count)
    mean = faces.mean(axis=(1, 2), keepdims=True)
    np.clip((faces - mean) * gain + mean + offset, 0, 255, out=faces)


def _compress(faces: NDArray[np.float32], probability: float, random: np.random.Generator) -> None:
    """Store some faces as JPEG and read them back, in place."""
    import cv2

    lowest, highest = JPEG_QUALITIES
    for index in np.flatnonzero(random.random(len(faces)) < probability):
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(lowest, highest + 1))]
        _, stored = cv2.imencode(".jpg", np.rint(faces[index]).astype(np.uint8), quality)
        faces[index] = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)


def _erase(faces: NDArray[np.float32], probability: float, random: np.random.Generator) -> None:
    """Cover a rectangle in some faces with noise, in place (Zhong et al. 2017)."""
    height, width = faces.shape[1:]
    for index in np.flatnonzero(random.random(len(faces)) < probability):
        area, ratio = random.uniform(0.02, 0.2) * height * width, random.uniform(0.5, 2.0)
        tall = min(height, max(1, round(np.sqrt(area * ratio))))
        wide = min(width, max(1, round(np.sqrt(area / ratio))))
        top, left = random.integers(height - tall + 1), random.integers(width - wide + 1)
        noise = random.uniform(0, 255, (tall, wide))
        faces[index, top : top + tall, left : left + wide] = noise
