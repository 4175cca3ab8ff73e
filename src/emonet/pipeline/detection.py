"""Images -> detections, with what a plugin returned checked."""

import math
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from emonet.errors import EmonetError, PluginContractError, PluginRuntimeError
from emonet.plugin import Box, Detection, Detector

__all__ = ["detect_faces"]

# A box reaches over the image's edge, but is not many times as large.
LARGEST = 4


def detect_faces(detector: Detector, image: NDArray[np.uint8]) -> list[Detection]:
    """Find the faces in an RGB uint8 (height, width, 3) image, the surest first.

    Raises:
        PluginContractError: the detector returned something other than boxes in the image.
        PluginRuntimeError: the detector raised.
    """
    name = type(detector).__name__
    try:
        found = list(detector.detect(image))
    except EmonetError:
        raise
    except Exception as error:
        raise PluginRuntimeError(
            f"The detector {name} failed on a {image.shape[1]}x{image.shape[0]} image: "
            f"{type(error).__name__}: {error}"
        ) from error
    for detection in found:
        if not isinstance(detection, Detection) or not _is_inside(detection, image.shape):
            raise PluginContractError(
                f"The detector {name} must return Detections with finite boxes that meet the "
                f"image ({image.shape[1]}x{image.shape[0]}); it returned {detection!r}"
            )
    return sorted(found, key=lambda detection: -detection.score)


def _is_inside(detection: Detection, shape: tuple[int, ...]) -> bool:
    box = detection.box
    if not isinstance(box, Box):
        return False
    most = LARGEST * max(shape[:2])
    if not all(isinstance(v, Real) and math.isfinite(v) for v in (*box, detection.score)):
        return False
    return (
        0 < box.width <= most
        and 0 < box.height <= most
        and box.x < shape[1]
        and box.y < shape[0]
        and box.x + box.width > 0
        and box.y + box.height > 0
    )
