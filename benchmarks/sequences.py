"""Made films of faces: each face jitters, and its sharpness, noise and light change."""

from collections.abc import Iterator

import cv2
import numpy as np

RATE = 25.0
#: Standard deviations of the change from frame to frame: pixels of 48, degrees, share of size.
SHIFT, TURN, SIZE = 1.5, 4.0, 0.04
LIGHT, CONTRAST, NOISE = 18.0, 0.15, 5.0
BLUR = (0.0, 1.0)
JPEG_QUALITY = (30, 90)
#: How much of a change stays from one frame to the next; the rest is new.
KEPT = 0.5


def make_sequence(face: np.ndarray, frames: int, random: np.random.Generator) -> np.ndarray:
    """Return uint8 (frames, height, width): one grey face as a shaky camera would film it."""
    return np.stack([_changed(face, change, random) for change in _changes(frames, random)])


def _changes(frames: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield vectors of standard normal numbers, each close to the one before."""
    change = random.normal(size=6)
    for _ in range(frames):
        yield change
        change = KEPT * change + np.sqrt(1 - KEPT**2) * random.normal(size=6)


def _changed(face: np.ndarray, change: np.ndarray, random: np.random.Generator) -> np.ndarray:
    height, width = face.shape
    matrix = cv2.getRotationMatrix2D(
        (width / 2, height / 2), TURN * change[2], np.exp(SIZE * change[3])
    )
    matrix[:, 2] += SHIFT * height / 48 * change[:2]
    image = cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    image = (image.astype(np.float32) - 128) * np.exp(CONTRAST * change[4]) + 128
    image += LIGHT * change[5]
    blur = random.uniform(*BLUR)
    if blur > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    image += random.normal(0, NOISE, image.shape)
    image = np.clip(image, 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(*JPEG_QUALITY))]
    return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_GRAYSCALE)
