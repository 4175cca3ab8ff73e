"""The contract for plugin authors; the only emonet module that a plugin imports.

A plugin is a module with an entry point in the group ``emonet`` and one decorated function
for each kind of component::

    from emonet.plugin import BackboneSpec, hookimpl

    @hookimpl
    def emonet_register_backbones():
        return [BackboneSpec(name="acme_net", build=build, input_size=(64, 64))]

Hooks run once, at the first look-up of a component. A hook must not import heavy libraries or use
the network or the disk; only a spec's ``build`` may.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pluggy
from numpy.typing import NDArray

from emonet.errors import (
    ConfigError,
    HubError,
    ImageError,
    MissingDependencyError,
    ModelNotFoundError,
    PluginContractError,
    WeightsError,
)
from emonet.results import Box, Detection
from emonet.support.cores import count_cores
from emonet.support.fetching import locate_file

if TYPE_CHECKING:
    import keras

__all__ = [
    "BackboneSpec",
    "Box",
    "ComponentSpec",
    "ConfigError",
    "Detection",
    "Detector",
    "DetectorSpec",
    "FeatureExtractor",
    "FeatureExtractorSpec",
    "FeaturePart",
    "HubError",
    "ImageError",
    "Json",
    "MissingDependencyError",
    "ModelNotFoundError",
    "PluginContractError",
    "WeightsError",
    "hookimpl",
    "locate_file",
    "require_choice",
    "require_number",
    "require_size",
    "usable_cores",
]

#: Marks a function as the implementation of one of emonet's hooks.
hookimpl = pluggy.HookimplMarker("emonet")

#: A value in a component's configuration, which JSON must be able to store.
Json = Any

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class FeaturePart:
    """Values of a feature vector that describe one place in the face, such as a landmark.

    Attributes:
        name: what the values describe, unique in the vector.
        values: which values of the vector, ``slice(start, stop)``.
        place: x, y, width, height of the place as shares of the face's width and height. A point
            has width and height 0. Points may lie outside the face.
    """

    name: str
    values: slice
    place: tuple[float, float, float, float]


class FeatureExtractor(Protocol):
    """A feature extractor: grey face crops in, fixed-length vectors out, without gradients.

    An extractor may have the method ``parts(vector)``. It returns a sequence of FeatureParts for
    one vector (num_features,), so that emonet can explain which parts support a label.
    """

    @property
    def num_features(self) -> int:
        """Length of one vector."""
        ...

    def transform(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn uint8 (n, height, width) grey faces into float32 (n, num_features).

        Several threads may call it at once. It must not change its input, must accept any n
        (0 and 1 too), and must return finite numbers for every face.
        """
        ...

    def get_state(self) -> Mapping[str, NDArray[Any]]:
        """Return the learnt state as plain numeric arrays; empty if there is none."""
        ...

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore a state that get_state returned."""
        ...


class Detector(Protocol):
    """A face detector."""

    def detect(self, image: NDArray[np.uint8]) -> Sequence[Detection]:
        """Return the faces in an RGB uint8 (height, width, 3) image; empty if there are none.

        Each detector works for one thread at a time; emonet builds one for each thread.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSpec:
    """The fields that all kinds of components have.

    Attributes:
        name: the name that users type and config.json stores; ``[a-z][a-z0-9_]*``.
        defaults: the complete default configuration; its keys are the legal settings.
        config_version: increase it when older configurations or weights no longer fit.
        upgrade: ``upgrade(saved_version, saved_config)`` returns a current configuration.
        summary: one line for listings.
        machine_settings: settings that are valid on one machine only, such as a file's path.
            They are neither saved with a model nor read from one.
    """

    name: str
    build: Callable[..., Any]
    defaults: Mapping[str, Json] = field(default_factory=dict)
    config_version: int = 1
    upgrade: Callable[[int, Mapping[str, Json]], Mapping[str, Json]] | None = None
    summary: str = ""
    machine_settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            PluginContractError: a field has the wrong type or value.
        """
        if not isinstance(self.name, str) or not NAME_PATTERN.fullmatch(self.name):
            raise PluginContractError(
                f"A component name must match [a-z][a-z0-9_]* and have at most 64 characters, "
                f"got {self.name!r}"
            )
        if not callable(self.build):
            raise PluginContractError(f"{self.name}: build must be callable, got {self.build!r}")
        if not isinstance(self.defaults, Mapping) or not _is_json(dict(self.defaults)):
            raise PluginContractError(
                f"{self.name}: defaults must map names to JSON values, got {self.defaults!r}"
            )
        if type(self.config_version) is not int or self.config_version < 1:
            raise PluginContractError(
                f"{self.name}: config_version must be 1 or more, got {self.config_version!r}"
            )
        if not set(self.machine_settings) <= set(self.defaults):
            raise PluginContractError(
                f"{self.name}: machine_settings must be keys of defaults, "
                f"got {self.machine_settings!r}"
            )
        object.__setattr__(self, "defaults", MappingProxyType(deepcopy(dict(self.defaults))))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec(ComponentSpec):
    """A backbone: RGB pixels in, one pooled feature vector out.

    Attributes:
        build: ``build(config, *, pretrained)`` returns a keras.Model from float32
            (None, height, width, 3) RGB 0..255 to (None, num_features). The model scales the
            pixels itself. ``config`` has every key of ``defaults``. With ``pretrained=False``,
            build must not use the network or the disk.
        input_size: (height, width) of the input; a setting ``input_size`` takes precedence.
    """

    build: "Callable[..., keras.Model]"
    input_size: tuple[int, int]

    def __post_init__(self) -> None:
        """Validate the fields."""
        # super() fails in a dataclass with slots: the decorator creates another class.
        ComponentSpec.__post_init__(self)
        size = self.input_size
        if not (
            isinstance(size, tuple)
            and len(size) == 2
            and all(isinstance(side, int) and side > 0 for side in size)
        ):
            raise PluginContractError(
                f"{self.name}: input_size must be (height, width), two positive ints, got {size!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureExtractorSpec(ComponentSpec):
    """A feature extractor: ``build(config)`` returns a FeatureExtractor."""

    build: Callable[[Mapping[str, Json]], FeatureExtractor]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec(ComponentSpec):
    """A face detector: ``build(config)`` returns a Detector."""

    build: Callable[[Mapping[str, Json]], Detector]


def require_number(
    component: str,
    key: str,
    value: Json,
    low: float,
    high: float = math.inf,
    *,
    whole: bool = False,
) -> None:
    """Raise ConfigError if a setting is not a number in low..high.

    Args:
        component: name of the component; the message starts with it.
        key: name of the setting.
        value: value of the setting.
        low: smallest legal value.
        high: largest legal value.
        whole: accept integers only.

    Raises:
        ConfigError: the message names the component, the setting, the range and the value.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise ConfigError(
            f"{component}: {key} must be {kind} in {low:g}..{high:g}, got {value!r:.200}"
        )


def require_size(
    component: str, key: str, value: Json, minimum: int, maximum: int = 1024
) -> tuple[int, int]:
    """Return a setting that is (height, width) in pixels, each in minimum..maximum.

    Raises:
        ConfigError: the value is not such a size.
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ConfigError(f"{component}: {key} must be [height, width], got {value!r:.200}")
    for side in value:
        require_number(component, key, side, minimum, maximum, whole=True)
    return (value[0], value[1])


def require_choice(component: str, key: str, value: Json, choices: Collection[Json]) -> None:
    """Raise ConfigError if a setting is not one of the choices.

    Raises:
        ConfigError: the message lists the choices.
    """
    if not any(
        value is choice or (value == choice and type(value) is type(choice)) for choice in choices
    ):
        listed = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(f"{component}: {key} must be one of {listed}, got {value!r:.200}")


def usable_cores() -> int:
    """Return how many CPU cores to use: ``EMONET_THREADS``, or those this process is allowed.

    A cluster or a container may allow fewer cores than the machine has.
    """
    return count_cores()


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_json(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)
