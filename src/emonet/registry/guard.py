"""Holds what plugins built to the contract: every error says whose code it is."""

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import EmonetError, PluginContractError, PluginRuntimeError
from emonet.plugin import Box, Detection, Detector, FeatureExtractor

__all__ = ["GuardedDetector", "GuardedExtractor", "call_plugin", "checked_backbone"]

# A box may reach over the image's edge, but is not many times as large.
LARGEST = 4


def call_plugin(who: str, action: str, code: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a plugin's code.

    Args:
        who: the component, its plugin, distribution and version.
        action: what the code is for.
        code: what to call.
        *args: what to call it with.
        **kwargs: likewise.

    Raises:
        PluginRuntimeError: it raised something that is no EmonetError.
    """
    try:
        return code(*args, **kwargs)
    except EmonetError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginRuntimeError(
            f"The {who} failed in {action}: {type(error).__name__}: {error}"
        ) from error


def checked_backbone(model: Any, who: str) -> Any:
    """Return what a backbone's build returned, if its shapes keep the contract.

    Raises:
        PluginContractError: they don't.
    """
    shapes = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    match shapes:
        case ((None, int(), int(), 3), (None, int())):
            return model
    raise PluginContractError(
        f"The {who} must map (None, height, width, 3) to (None, num_features); its build "
        f"returned {type(model).__name__} from {shapes[0]} to {shapes[1]}"
    )


class GuardedExtractor:
    """A feature extractor that returns what the contract says, or raises.

    Args:
        extractor: what the plugin built; whatever else it offers is reached through this.
        who: the component, its plugin, distribution and version.

    Raises:
        PluginContractError: it lacks something, or its num_features is no length.
    """

    def __init__(self, extractor: FeatureExtractor, who: str) -> None:
        _require_methods(extractor, who, ("transform", "get_state", "set_state"))
        size = call_plugin(who, "num_features", getattr, extractor, "num_features", None)
        if not isinstance(size, int) or size < 1:
            raise PluginContractError(
                f"The {who} must have num_features, a whole number of 1 or more, got {size!r}"
            )
        self._extractor = extractor
        self._who = who

    @property
    def num_features(self) -> int:
        """Length of one vector."""
        return self._extractor.num_features

    def transform(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn uint8 (n, height, width) grey faces into float32 (n, num_features)."""
        returned = self._call("transform", images)
        expected = (len(images), self.num_features)
        try:
            vectors = np.asarray(returned, np.float32)
        except (TypeError, ValueError):
            received = f"{type(returned).__name__}"
        else:
            if vectors.shape == expected and np.isfinite(vectors).all():
                return vectors
            received = f"shape {vectors.shape}"
            if vectors.shape == expected:
                received += " with values that are not finite"
        raise PluginContractError(
            f"The {self._who} must return finite numbers of shape {expected}; "
            f"it returned {received}"
        )

    def get_state(self) -> Mapping[str, NDArray[Any]]:
        """Return what was learnt as plain numeric arrays."""
        state: Mapping[str, NDArray[Any]] = self._call("get_state")
        return state

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what get_state returned."""
        self._call("set_state", state)

    def __getattr__(self, name: str) -> Any:
        return _public(self, "_extractor", name)

    def _call(self, method: str, *args: Any) -> Any:
        return call_plugin(self._who, method, getattr(self._extractor, method), *args)


class GuardedDetector:
    """A detector that returns boxes in the image, or raises.

    Args:
        detector: what the plugin built; whatever else it offers is reached through this.
        who: the component, its plugin, distribution and version.

    Raises:
        PluginContractError: it can't detect.
    """

    def __init__(self, detector: Detector, who: str) -> None:
        _require_methods(detector, who, ("detect",))
        self._detector = detector
        self._who = who

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Detection]:
        """Find faces in an RGB uint8 (height, width, 3) image; empty when there are none."""
        height, width = image.shape[:2]
        found: list[Detection] = call_plugin(
            self._who,
            f"detect on a {width}x{height} image",
            lambda: [*self._detector.detect(image)],
        )
        for detection in found:
            if not isinstance(detection, Detection) or not _meets(detection, width, height):
                raise PluginContractError(
                    f"The {self._who} must return Detections with finite boxes that meet the "
                    f"image ({width}x{height}); it returned {detection!r}"
                )
        return found

    def __getattr__(self, name: str) -> Any:
        return _public(self, "_detector", name)


def _public(guard: object, inner: str, name: str) -> Any:
    """Look up what a plugin's object offers beyond the contract, such as a ``fit``."""
    if name.startswith("_"):
        raise AttributeError(f"{type(guard).__name__} has no attribute {name!r}")
    return getattr(getattr(guard, inner), name)


def _require_methods(built: object, who: str, methods: Sequence[str]) -> None:
    missing = [name for name in methods if not callable(getattr(built, name, None))]
    if missing:
        raise PluginContractError(
            f"The {who} must have the methods {', '.join(methods)}; its build returned "
            f"{type(built).__name__}, which lacks {', '.join(missing)}"
        )


def _meets(detection: Detection, width: int, height: int) -> bool:
    """Tell whether a detection's numbers are finite and its box has a part of the image."""
    box = detection.box
    if not isinstance(box, Box):
        return False
    if not all(isinstance(v, Real) and math.isfinite(v) for v in (*box, detection.score)):
        return False
    sides_fit = all(0 < side <= LARGEST * max(width, height) for side in (box.width, box.height))
    across = box.x < width and box.x + box.width > 0
    down = box.y < height and box.y + box.height > 0
    return sides_fit and across and down
