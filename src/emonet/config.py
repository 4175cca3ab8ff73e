"""Frozen dataclasses <-> config.json, strict both ways.

A configuration names components, never import paths or files: a file's name follows from
the (validated) name of the network that it belongs to.
"""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.metadata import version
from typing import Annotated, Any, Literal, get_args

from emonet.errors import ConfigError, ConfigVersionError
from emonet.labels import FER2013
from emonet.plugin import NAME_PATTERN, Json

__all__ = [
    "FORMAT_VERSION",
    "ComponentConfig",
    "Framing",
    "HeadConfig",
    "NetworkConfig",
    "RecognizerConfig",
    "config_from_json",
    "config_to_json",
]

#: Raised when an older emonet could not read what this one writes.
FORMAT_VERSION = 1

MAX_UNITS = 16384
MAX_NETWORKS = 64

# pydantic reads this from each dataclass; nothing unknown, converted or not finite gets in.
_STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern for pydantic, which is imported only where a file is read."""

    regex: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        schema = handler(source)
        schema["pattern"] = self.regex
        return schema


Name = Annotated[str, _Pattern(f"^{NAME_PATTERN.pattern}$")]
Label = Annotated[
    str,
    _Pattern(
        # No control characters, nor those that turn a text's direction round.
        r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069]{1,64}$"
    ),
]
PackageName = Annotated[str, _Pattern(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?)?$")]
PackageVersion = Annotated[str, _Pattern(r"^[A-Za-z0-9.+!_-]{0,64}$")]
Digest = Annotated[str, _Pattern(r"^[0-9a-f]{64}$")]
FileName = Annotated[str, _Pattern(r"^[a-z][a-z0-9_]{0,63}\.safetensors$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentConfig:
    """A plugin's component: its name, its complete configuration, and where it came from."""

    __pydantic_config__ = _STRICT
    name: Name
    config: dict[str, Json] = field(default_factory=dict)
    config_version: int = 1
    plugin: PackageName = ""
    distribution: PackageName = ""
    distribution_version: PackageVersion = ""

    def __post_init__(self) -> None:
        """Refuse a version that never was.

        Raises:
            ConfigError: config_version is below 1.
        """
        if self.config_version < 1:
            raise ConfigError(f"config_version: must be 1 or more, got {self.config_version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """The layers between features and class probabilities.

    Attributes:
        units: widths of the dense layers on the fused vector; empty for none.
        feature_units: width that each extractor's vector is brought to before fusion.
        dropout: fraction dropped before every dense layer on the fused vector, 0..1.
    """

    __pydantic_config__ = _STRICT
    units: tuple[int, ...] = ()
    feature_units: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Refuse a head that can't be built, or only on a machine of another size.

        Raises:
            ConfigError: a width is not 1 to 16384, there are more than 8, or the dropout is
                not in 0..1.
        """
        widths = (*self.units, self.feature_units)
        if len(widths) > 9 or not all(1 <= width <= MAX_UNITS for width in widths):
            raise ConfigError(
                f"head: units must be up to 8 widths of 1 to {MAX_UNITS}, and feature_units "
                f"one, got {self.units} and {self.feature_units}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"head.dropout: must be in 0..1, below 1, got {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """One network: backbone, feature extractors, head, and its weight in the ensemble.

    Attributes:
        face_size: (height, width) of the faces that it gets, pixels.
        centred: subtract the training set's mean face, a layer saved with the weights.
        weight: of its probabilities in the ensemble's mean; only proportions matter.
    """

    __pydantic_config__ = _STRICT
    name: Name
    backbone: ComponentConfig
    features: tuple[ComponentConfig, ...] = ()
    head: HeadConfig = HeadConfig()
    face_size: tuple[int, int] = (48, 48)
    centred: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse faces that no network can be built for.

        Raises:
            ConfigError: a side is not 8 to 1024 pixels.
        """
        if not all(8 <= side <= 1024 for side in self.face_size):
            raise ConfigError(f"face_size: sides of 8 to 1024 pixels, got {self.face_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How a detector's box becomes the square that the training faces were cut along.

    Attributes:
        scale: the square's side, in units of the box's side (root of width times height).
        shift_x: from the box's centre to the square's, in box sides; positive is right.
        shift_y: likewise; positive is down.
    """

    __pydantic_config__ = _STRICT
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a square without extent.

        Raises:
            ConfigError: scale is not above 0.
        """
        if not self.scale > 0:
            raise ConfigError(f"framing.scale: must be above 0, got {self.scale}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerConfig:
    """Everything about a recognizer but its weights.

    Attributes:
        framing: by detector name, the one that it was trained with first.
        temperature: divides the log-probabilities of the ensemble; 1 leaves them.
        files: SHA-256 of every weights file, by file name; empty until saved.
    """

    __pydantic_config__ = _STRICT
    library: Literal["emonet"] = "emonet"
    format_version: int = FORMAT_VERSION
    emonet_version: PackageVersion = field(default_factory=lambda: version("emonet"))
    labels: tuple[Label, ...] = FER2013
    detector: ComponentConfig
    framing: dict[Name, Framing] = field(default_factory=dict)
    networks: tuple[NetworkConfig, ...]
    temperature: float = 1.0
    files: dict[FileName, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a configuration that contradicts itself.

        Raises:
            ConfigError: duplicate labels or network names, or a number out of its range.
        """
        names = [network.name for network in self.networks]
        weights = [network.weight for network in self.networks]
        checks = (
            (len(self.labels) >= 2, f"labels: two or more are needed, got {self.labels}"),
            (len(set(self.labels)) == len(self.labels), f"labels: repeated in {self.labels}"),
            (
                0 < len(names) <= MAX_NETWORKS,
                f"networks: 1 to {MAX_NETWORKS} are needed, got {len(names)}",
            ),
            (len(set(names)) == len(names), f"networks: names repeat in {names}"),
            (
                min(weights, default=0) >= 0 and sum(weights) > 0,
                f"networks: weights must be >= 0 and not all 0, got {weights}",
            ),
            (self.format_version >= 1, f"format_version: 1 or more, got {self.format_version}"),
            (self.temperature > 0, f"temperature: must be above 0, got {self.temperature}"),
        )
        for holds, message in checks:
            if not holds:
                raise ConfigError(message)

    @property
    def face_sizes(self) -> tuple[tuple[int, int], ...]:
        """Every (height, width) of faces that some network needs, the largest first."""
        return tuple(sorted({network.face_size for network in self.networks}, reverse=True))

    def framing_for(self, detector: str) -> Framing:
        """Return a detector's framing; one that is not listed is taken to be like the first."""
        listed = next(iter(self.framing.values()), Framing())
        return self.framing.get(detector, listed)

    def with_framing(self, detector: str, framing: Framing) -> "RecognizerConfig":
        """Return the same with one detector's framing replaced or added."""
        return replace(self, framing={**self.framing, detector: framing})


def config_to_json(config: RecognizerConfig) -> str:
    """Return the text of config.json.

    Raises:
        ConfigError: it could not be read back.
    """
    try:
        text = json.dumps(asdict(config), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The configuration can't be saved: {error}") from None
    config_from_json(text, where="The configuration that was to be saved")
    return text


def config_from_json(text: str | bytes, *, where: str) -> RecognizerConfig:
    """Read the text of config.json.

    Args:
        text: the file's content.
        where: what error messages call the file.

    Raises:
        ConfigVersionError: it was written in a newer format.
        ConfigError: it is no JSON, or a key is unknown, missing or of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        data = json.loads(
            text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("library") != "emonet":
        raise ConfigError(f'{where} is not an emonet model: it lacks "library": "emonet"')
    written = data.get("format_version")
    if isinstance(written, int) and written > FORMAT_VERSION:
        raise ConfigVersionError(
            f"{where} has format version {written}; this emonet reads up to {FORMAT_VERSION}. "
            f"Upgrade emonet."
        )
    try:
        config: RecognizerConfig = TypeAdapter(RecognizerConfig).validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error.errors()[0])}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config


def nearest(name: str, known: Any) -> str:
    """Return ``" Did you mean 'x'?"`` for a near match, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _explain(error: Mapping[str, Any]) -> str:
    """Turn pydantic's first error into one sentence with the JSON path."""
    if error["type"] == "value_error":
        # One of ours, which names its place itself.
        return str(error["ctx"]["error"])
    # Keys come from a stranger's file, and may hold what a terminal would obey.
    path = ".".join(ascii(part).strip("'") for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return f"{path}: unknown key.{nearest(str(error['loc'][-1]), _keys(RecognizerConfig))}"
    received = (
        ""
        if error["type"] in ("missing", "missing_argument")
        else f" Received: {error['input']!a:.80}"
    )
    return f"{path}: {error['msg']}.{received}"


def _finite(text: str) -> float:
    """Read a number, unless it is Infinity, NaN or beyond what a float holds."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its members, each of which must be there once."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has the same key twice")
    return members


def _keys(kind: Any) -> set[str]:
    """Return every key that a configuration may have, at any depth."""
    keys: set[str] = set()
    for part in fields(kind):
        keys.add(part.name)
        for inner in (part.type, *get_args(part.type)):
            if is_dataclass(inner):
                keys |= _keys(inner)
    return keys
