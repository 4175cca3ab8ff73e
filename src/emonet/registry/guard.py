"""Check plugin components against the contract.

Every error names the ``owner``: the component, its plugin, distribution and version.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import EmonetError, PluginContractError, PluginRuntimeError
from emonet.plugin import Box, Detection, Detector, FeatureExtractor, FeaturePart

# A box may extend beyond the image, but its sides are at most this many times the image's.
MAX_RATIO = 4


def call_plugin(owner: str, step: str, code: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a plugin's code; errors other than EmonetError become PluginRuntimeError."""
    try:
        return code(*args, **kwargs)
    except EmonetError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginRuntimeError(
            f"The {owner} failed in {step}: {type(error).__name__}: {error}"
        ) from error


def checked_backbone(model: Any, owner: str) -> Any:
    """Return a backbone's model; check its input and output shapes."""
    shapes = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    match shapes:
        case ((None, int(), int(), 3), (None, int())):
            return model
    hint = "" if all(shapes) else ". Build a functional model, keras.Model(inputs, outputs)"
    raise PluginContractError(
        f"The {owner} must map (None, height, width, 3) to (None, num_features); its build "
        f"returned {type(model).__name__} from {shapes[0]} to {shapes[1]}{hint}"
    )


class GuardedExtractor:
    """A feature extractor whose results are checked; its other attributes can be used as well."""

    def __init__(self, extractor: FeatureExtractor, owner: str) -> None:
        _require_methods(extractor, owner, ("transform", "get_state", "set_state"))
        size = call_plugin(owner, "num_features", getattr, extractor, "num_features", None)
        if not isinstance(size, int | np.integer) or size < 1:
            raise PluginContractError(
                f"The {owner} must have num_features, a whole number >= 1, got {size!r}"
            )
        self._extractor = extractor
        self._owner = owner

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
            received = type(returned).__name__
        else:
            received = f"shape {vectors.shape}"
            if vectors.shape == expected:
                if np.isfinite(vectors).all():
                    return vectors
                received += " with values that are not finite"
        raise PluginContractError(
            f"The {self._owner} must return finite numbers of shape {expected}; "
            f"it returned {received}"
        )

    def get_state(self) -> Mapping[str, NDArray[Any]]:
        """Return the learnt state as plain numeric arrays."""
        state = self._call("get_state")
        if not isinstance(state, Mapping):
            raise PluginContractError(
                f"The {self._owner} must return a mapping from get_state, empty if there is no "
                f"state; it returned {type(state).__name__}"
            )
        try:
            arrays = {name: np.asarray(values) for name, values in state.items()}
        except ValueError as error:  # rows of unequal length
            raise PluginContractError(
                f"The {self._owner} must return arrays from get_state: {error}"
            ) from error
        for name, array in arrays.items():
            if not (isinstance(name, str) and _is_storable(array)):
                raise PluginContractError(
                    f"The {self._owner} must return arrays of finite numbers by name from "
                    f"get_state; it returned {array.dtype} {array.shape} as {name!r:.80}"
                )
        return arrays

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore a state that get_state returned."""
        self._call("set_state", state)

    def parts(self, vector: NDArray[np.float32]) -> Sequence[FeaturePart]:
        """Return the parts of a vector; none if the extractor does not tell them."""
        tell = getattr(self._extractor, "parts", None)
        if not callable(tell):
            return ()
        parts: list[FeaturePart] = call_plugin(self._owner, "parts", lambda: list(tell(vector)))
        for part in parts:
            if not isinstance(part, FeaturePart) or not _is_part(part, self.num_features):
                raise PluginContractError(
                    f"The {self._owner} must return FeatureParts with a name, some of its "
                    f"{self.num_features} values and a finite place from parts; it returned "
                    f"{part!r:.200}"
                )
        return parts

    def __getattr__(self, name: str) -> Any:
        return _extra_attribute(self, "_extractor", name)

    def _call(self, method: str, *args: Any) -> Any:
        return call_plugin(self._owner, method, getattr(self._extractor, method), *args)


class GuardedDetector:
    """A detector whose results are checked; its other attributes can be used as well."""

    def __init__(self, detector: Detector, owner: str) -> None:
        _require_methods(detector, owner, ("detect",))
        self._detector = detector
        self._owner = owner

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Detection]:
        """Return the faces in an RGB uint8 (height, width, 3) image; empty if there are none."""
        height, width = image.shape[:2]
        step = f"detect on a {width}x{height} image"
        found = call_plugin(self._owner, step, self._detector.detect, _read_only(image))
        if not isinstance(found, Iterable):
            raise PluginContractError(
                f"The {self._owner} must return a list of Detections from detect, empty if there "
                f"is no face; it returned {type(found).__name__}"
            )
        detections = call_plugin(self._owner, step, list, found)
        for detection in detections:
            if not isinstance(detection, Detection) or not _is_valid(detection, width, height):
                raise PluginContractError(
                    f"The {self._owner} must return Detections with finite boxes that overlap "
                    f"the image ({width}x{height}); it returned {detection!r}"
                )
        return [replace(detection, score=float(detection.score)) for detection in detections]

    def __getattr__(self, name: str) -> Any:
        return _extra_attribute(self, "_detector", name)


def _extra_attribute(guard: object, inner: str, name: str) -> Any:
    """Return an attribute of a plugin's object beyond the contract, such as ``fit``."""
    if name.startswith("_"):
        raise AttributeError(f"{type(guard).__name__} has no attribute {name!r}")
    return getattr(getattr(guard, inner), name)


def _read_only(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a read-only view, because the pixels may belong to the caller."""
    view = array.view()
    view.flags.writeable = False
    return view


def _is_storable(array: NDArray[Any]) -> bool:
    """Return whether a weights file can store an array and all its numbers are finite."""
    return array.dtype.kind in "biuf" and array.itemsize <= 8 and bool(np.isfinite(array).all())


def _is_part(part: FeaturePart, size: int) -> bool:
    """Return whether a part has a name, values of the vector, and a place."""
    return (
        isinstance(part.name, str)
        and isinstance(part.values, slice)
        and len(range(size)[part.values]) > 0
        and len(part.place) == 4
        and bool(np.isfinite(part.place).all())
    )


def _require_methods(built: object, owner: str, methods: Sequence[str]) -> None:
    missing = [name for name in methods if not callable(getattr(built, name, None))]
    if missing:
        raise PluginContractError(
            f"The {owner} must have the methods {', '.join(methods)}; its build returned "
            f"{type(built).__name__}, which lacks {', '.join(missing)}"
        )


def _is_valid(detection: Detection, width: int, height: int) -> bool:
    """Return whether a detection's numbers are finite and its box overlaps the image."""
    box = detection.box
    if not isinstance(box, Box):
        return False
    if not all(isinstance(v, Real) and math.isfinite(v) for v in (*box, detection.score)):
        return False
    sides_fit = all(0 < side <= MAX_RATIO * max(width, height) for side in (box.width, box.height))
    across = box.x < width and box.x + box.width > 0
    down = box.y < height and box.y + box.height > 0
    return sides_fit and across and down
