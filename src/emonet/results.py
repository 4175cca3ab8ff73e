"""What detection and prediction return: small frozen dataclasses."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import EmonetError

__all__ = ["Box", "Detection", "Face", "ImageResult"]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels; (x, y) is the top left corner."""

    x: float
    y: float
    width: float
    height: float

    def clipped(self, image_width: int, image_height: int) -> "Box":
        """Return the part of the box inside the image, in whole pixels, at least 1x1."""
        # Halves are rounded one way, so that a whole width stays what it is.
        left = min(max(floor(self.x + 0.5), 0), image_width - 1)
        top = min(max(floor(self.y + 0.5), 0), image_height - 1)
        right = min(max(floor(self.x + self.width + 0.5), left + 1), image_width)
        bottom = min(max(floor(self.y + self.height + 0.5), top + 1), image_height)
        return Box(left, top, right - left, bottom - top)

    def __iter__(self) -> Iterator[float]:
        """Unpack as ``x, y, width, height``."""
        return iter((self.x, self.y, self.width, self.height))


@dataclass(frozen=True, slots=True)
class Detection:
    """One face that a detector found.

    Attributes:
        box: where the face is; may reach over the image's edge.
        score: the detector's own confidence; larger is surer, the scale is the detector's.
        landmarks: (n, 2) float x, y in pixels of the image, where the detector has them.
        framed: the box is cut out as it is, because it is framed as a face crop already.
    """

    box: Box
    score: float = 1.0
    landmarks: NDArray[np.float32] | None = field(default=None, compare=False)
    framed: bool = False


@dataclass(frozen=True, slots=True)
class Face:
    """One face of an image and its emotion.

    Attributes:
        box: where the face is, clipped to the image, whole pixels.
        label: the most probable class; None where its score is below the lowest that was
            asked for.
        score: the most probable class's probability, 0..1.
        probabilities: every class's probability in label order; they sum to 1.
        detection: what the detector reported.
    """

    box: Box
    label: str | None
    score: float
    probabilities: Mapping[str, float]
    detection: Detection

    def to_dict(self) -> dict[str, Any]:
        """Return the face as plain JSON values: box, label, score, probabilities."""
        return {
            "box": [int(value) for value in self.box],
            "label": self.label,
            "score": self.score,
            "probabilities": dict(self.probabilities),
        }


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The faces of one image, or why the image could not be used.

    Attributes:
        path: the image's path where it was given as one, else None.
        width: pixels, after the EXIF rotation; 0 if the image could not be read.
        height: likewise.
        faces: the surest detection first; empty when no face was found.
        error: set when the image could not be used; only a batch reports errors this way.
    """

    path: str | None
    width: int
    height: int
    faces: tuple[Face, ...] = ()
    error: EmonetError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values; ``error`` stands alone with ``path``."""
        if self.error is not None:
            return {"path": self.path, "error": str(self.error)}
        return {
            "path": self.path,
            "width": self.width,
            "height": self.height,
            "faces": [face.to_dict() for face in self.faces],
        }
