"""Holds what plugins built to the contract: every error says whose code it is."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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
    hint = "" if all(shapes) else ": build a functional model, keras.Model(inputs, outputs)"
    raise PluginContractError(
        f"The {who} must map (None, height, width, 3) to (None, num_features); its build "
        f"returned {type(model).__name__} from {shapes[0]} to {shapes[1]}{hint}"
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
        if not isinstance(size, int | np.integer) or size < 1:
            raise PluginContractError(
                f"The {who} must have num_features, a whole number of 1 or more, got {size!r}"
            )
        self._extractor = extractor
        self._who = who

    @property
    def num_features(self) -> int:
        """Length of one vector."""
        return int(self._extractor.num_features)

    def transform(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn uint8 (n, height, width) grey faces into float32 (n, num_features)."""
        returned = self._call("transform", _read_only(images))
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
        state = self._call("get_state")
        if not isinstance(state, Mapping):
            raise PluginContractError(
                f"The {self._who} must return a mapping from get_state, empty where nothing is "
                f"learnt; it returned {type(state).__name__}"
            )
        try:
            arrays = {name: np.asarray(values) for name, values in state.items()}
        except ValueError as error:  # of rows of unequal length
            raise PluginContractError(
                f"The {self._who} must return arrays from get_state: {error}"
            ) from error
        for name, array in arrays.items():
            if not (isinstance(name, str) and _is_plain(array)):
                raise PluginContractError(
                    f"The {self._who} must return arrays of finite numbers, by name, from "
                    f"get_state; it returned {array.dtype} {array.shape} as {name!r:.80}"
                )
        return arrays

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
        action = f"detect on a {width}x{height} image"
        found = call_plugin(self._who, action, self._detector.detect, _read_only(image))
        if not isinstance(found, Iterable):
            raise PluginContractError(
                f"The {self._who} must return a list of Detections from detect, empty where there "
                f"is no face; it returned {type(found).__name__}"
            )
        detections = call_plugin(self._who, action, list, found)
        for detection in detections:
            if not isinstance(detection, Detection) or not _meets(detection, width, height):
                raise PluginContractError(
                    f"The {self._who} must return Detections with finite boxes that meet the "
                    f"image ({width}x{height}); it returned {detection!r}"
                )
        return [replace(detection, score=float(detection.score)) for detection in detections]

    def __getattr__(self, name: str) -> Any:
        return _public(self, "_detector", name)


def _public(guard: object, inner: str, name: str) -> Any:
    """Look up what a plugin's object offers beyond the contract, such as a ``fit``."""
    if name.startswith("_"):
        raise AttributeError(f"{type(guard).__name__} has no attribute {name!r}")
    return getattr(getattr(guard, inner), name)


def _read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a view that a plugin can't write through: the pixels may be a caller's own."""
    view = array.view()
    view.flags.writeable = False
    return view


def _is_plain(array: NDArray[Any]) -> bool:
    """Tell whether an array holds finite numbers of a kind that a weights file can hold."""
    return array.dtype.kind in "biuf" and array.itemsize <= 8 and bool(np.isfinite(array).all())


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
