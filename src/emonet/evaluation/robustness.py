"""Robustness: accuracy on shifted, rotated, relit, compressed or downscaled faces."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError
from emonet.network.views import shifted
from emonet.records import Robustness

Faces = NDArray[np.uint8]


def measure_robustness(
    predict_proba: Callable[[Faces], NDArray[np.float32]],
    faces: Faces,
    classes: NDArray[np.int64],
    *,
    advance: Callable[[], None] = lambda: None,
) -> Robustness:
    """Measure accuracy on unchanged faces and after each change.

    Args:
        predict_proba: maps uint8 (n, height, width) to float32 (n, k).
        faces: uint8 (n, height, width).
        classes: true classes, int64 (n,).
        advance: called after every measurement.

    Raises:
        DataError: there is no face to evaluate on.
    """
    if not len(faces):
        raise DataError("Cannot evaluate on 0 faces: pass at least one")

    def accuracy(changed: Faces) -> float:
        correct = float((predict_proba(changed).argmax(axis=1) == classes).mean())
        advance()
        return correct

    return Robustness(
        n=len(faces),
        unchanged=accuracy(faces),
        changed={name: accuracy(change(faces)) for name, change in CHANGES.items()},
    )


def _rotated(faces: Faces, *, degrees: float) -> Faces:
    """Rotate faces counter-clockwise about their centre; edge pixels are repeated."""
    import cv2

    height, width = faces.shape[1:]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return _map_faces(
        faces,
        lambda face: cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE),
    )


def _relit(faces: Faces, *, gain: float) -> Faces:
    return np.clip(np.round(faces * np.float32(gain)), 0, 255).astype(np.uint8)


def _compressed(faces: Faces, *, quality: int) -> Faces:
    import cv2

    def recompress(face: Faces) -> Any:
        data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)

    return _map_faces(faces, recompress)


def _downscaled(faces: Faces, *, side: int) -> Faces:
    """Downscale faces to at most ``side`` pixels per side, and enlarge them again."""
    import cv2

    height, width = faces.shape[1:]
    small = (min(side, width), min(side, height))

    def resample(face: Faces) -> Any:
        downscaled = cv2.resize(face, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(downscaled, (width, height), interpolation=cv2.INTER_LINEAR)

    return _map_faces(faces, resample)


def _map_faces(faces: Faces, change: Callable[[Faces], Any]) -> Faces:
    return np.stack([change(face) for face in faces])


#: Functions that change faces, by name. Pixels of a shift hold for 48x48 faces; others scale.
CHANGES: Mapping[str, Callable[[Faces], Faces]] = {
    "shifted up 2 px": partial(shifted, down=-1, right=0),
    "shifted down 2 px": partial(shifted, down=1, right=0),
    "shifted left 2 px": partial(shifted, down=0, right=-1),
    "shifted right 2 px": partial(shifted, down=0, right=1),
    "rotated 15 degrees left": partial(_rotated, degrees=15),
    "rotated 15 degrees right": partial(_rotated, degrees=-15),
    "half the brightness": partial(_relit, gain=0.5),
    "twice the brightness": partial(_relit, gain=2.0),
    "JPEG quality 30": partial(_compressed, quality=30),
    "24 px and back": partial(_downscaled, side=24),
}
