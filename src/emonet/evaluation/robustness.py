"""Accuracy on faces that were moved, turned, lit otherwise, compressed or made coarse."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError
from emonet.network.views import shifted

__all__ = ["CHANGES", "Robustness", "measure_robustness"]

Faces = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """What changes to the faces cost.

    Attributes:
        n: faces.
        unchanged: accuracy on the faces as they are, 0..1.
        changed: accuracy by the name of the change.
    """

    n: int
    unchanged: float
    changed: Mapping[str, float]

    def drop(self, change: str) -> float:
        """Return how many points (hundredths) of accuracy a change costs."""
        return 100 * (self.unchanged - self.changed[change])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: n, unchanged, and accuracy and drop by change."""
        return {
            "n": self.n,
            "unchanged": self.unchanged,
            "changed": {
                name: {"accuracy": accuracy, "drop": self.drop(name)}
                for name, accuracy in self.changed.items()
            },
        }


def measure_robustness(
    predict_proba: Callable[[Faces], NDArray[np.float32]],
    faces: Faces,
    classes: NDArray[np.int64],
    *,
    advance: Callable[[], None] = lambda: None,
) -> Robustness:
    """Count how many labels are right after each change.

    Args:
        predict_proba: maps uint8 (n, height, width) to float32 (n, k).
        faces: uint8 (n, height, width).
        classes: the true classes, (n,).
        advance: called after every change.

    Raises:
        DataError: there is no face.
    """
    if not len(faces):
        raise DataError("There is no face to evaluate on")

    def accuracy(changed: Faces) -> float:
        right = float((predict_proba(changed).argmax(axis=1) == classes).mean())
        advance()
        return right

    return Robustness(
        n=len(faces),
        unchanged=accuracy(faces),
        changed={name: accuracy(change(faces)) for name, change in CHANGES.items()},
    )


def _rotated(faces: Faces, *, degrees: float) -> Faces:
    """Turn faces about their centre, counter-clockwise; the edge is repeated."""
    import cv2

    height, width = faces.shape[1:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return _each(
        faces,
        lambda face: cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE),
    )


def _lit(faces: Faces, *, gain: float) -> Faces:
    return np.clip(np.round(faces * np.float32(gain)), 0, 255).astype(np.uint8)


def _compressed(faces: Faces, *, quality: int) -> Faces:
    import cv2

    def there_and_back(face: Faces) -> Any:
        data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)

    return _each(faces, there_and_back)


def _coarse(faces: Faces, *, side: int) -> Faces:
    """Shrink faces to this side, pixels, where they are larger, and enlarge them again."""
    import cv2

    height, width = faces.shape[1:]
    small = (min(side, width), min(side, height))

    def there_and_back(face: Faces) -> Any:
        shrunk = cv2.resize(face, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)

    return _each(faces, there_and_back)


def _each(faces: Faces, change: Callable[[Faces], Any]) -> Faces:
    return np.stack([change(face) for face in faces])


#: By name, from faces to changed faces. Shifts are 2 of 48 pixels, and as much of other sizes.
CHANGES: Mapping[str, Callable[[Faces], Faces]] = {
    "shifted up 2 px": partial(shifted, down=-1, right=0),
    "shifted down 2 px": partial(shifted, down=1, right=0),
    "shifted left 2 px": partial(shifted, down=0, right=-1),
    "shifted right 2 px": partial(shifted, down=0, right=1),
    "rotated 15 degrees left": partial(_rotated, degrees=15),
    "rotated 15 degrees right": partial(_rotated, degrees=-15),
    "half the brightness": partial(_lit, gain=0.5),
    "twice the brightness": partial(_lit, gain=2.0),
    "JPEG quality 30": partial(_compressed, quality=30),
    "24 px and back": partial(_coarse, side=24),
}
