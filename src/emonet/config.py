"""What config.json holds, as frozen dataclasses that refuse what contradicts itself.

A configuration names components, never import paths or files: a file's name follows from
the (validated) name of the network that it belongs to.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeVar, get_args

from emonet.errors import ConfigError
from emonet.labels import FER2013
from emonet.plugin import NAME_PATTERN, Json

__all__ = [
    "FORMAT_VERSION",
    "ComponentConfig",
    "Framing",
    "HeadConfig",
    "NetworkConfig",
    "RecognizerConfig",
    "TestTimeAugmentation",
    "look_up",
    "nearest",
]

T = TypeVar("T")

#: Raised when an older emonet could not read what this one writes.
FORMAT_VERSION = 1

# A model from a stranger must not ask for any memory.
MAX_UNITS = 4096
MAX_LAYERS = 4
MAX_NETWORKS = 64
MAX_LABELS = 1000
MAX_FACE_SIZES = 8


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
        # No control characters, nor those that are not seen or turn a text's direction round.
        r"^[^\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
        r"\ufeff\ufff9-\ufffb\U000e0001-\U000e007f]{1,64}$"
    ),
]
PackageName = Annotated[str, _Pattern(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?)?$")]
PackageVersion = Annotated[str, _Pattern(r"^[A-Za-z0-9.+!_-]{0,64}$")]
Digest = Annotated[str, _Pattern(r"^[0-9a-f]{64}$")]
FileName = Annotated[str, _Pattern(r"^[a-z][a-z0-9_]{0,63}\.(safetensors|onnx)$")]
# Errors repeat it; the plugin that it is for says which there are.
Setting = Annotated[str, _Pattern(r"^(?s:.){1,64}$")]

#: Which views of a face a prediction is the mean over: see network.views.
TestTimeAugmentation = Literal["none", "mirror", "shift"]
GraphPrecision = Literal["float32", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentConfig:
    """A plugin's component: its name, its complete configuration, and where it came from."""

    name: Name
    config: dict[Setting, Json] = field(default_factory=dict)
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

    units: tuple[int, ...] = ()
    feature_units: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Refuse a head that can't be built, or only on a machine of another size.

        Raises:
            ConfigError: a width is not 1 to 4096, there are more than 4, or the dropout is
                not in 0..1.
        """
        several = self.units if isinstance(self.units, tuple | list) else (None,)
        possible = range(1, MAX_UNITS + 1)
        if len(several) > MAX_LAYERS or any(
            width not in possible for width in (*several, self.feature_units)
        ):
            raise ConfigError(
                f"head: units must be up to {MAX_LAYERS} widths of 1 to {MAX_UNITS}, and "
                f"feature_units one, got {self.units!s:.80} and {self.feature_units!s:.80}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"head.dropout: must be in 0..1, below 1, got {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """One network: backbone, feature extractors, head, and its weight in the ensemble.

    Attributes:
        name: of its files, and unlike every other member's.
        backbone: which component, and how it is configured.
        features: the same of each feature extractor, in the order in which they are fused.
        head: the layers between features and probabilities.
        face_size: (height, width) of the faces that it gets, pixels.
        centred: subtract the training set's mean face, a layer saved with the weights.
        weight: of its probabilities in the ensemble's mean; only proportions matter.
        graph_precision: what its graph computes convolutions in. One in int8 holds weights of
            its own; what Keras runs, and training starts from, stays float32.
    """

    name: Name
    backbone: ComponentConfig
    features: tuple[ComponentConfig, ...] = ()
    head: HeadConfig = HeadConfig()
    face_size: tuple[int, int] = (48, 48)
    centred: bool = False
    weight: float = 1.0
    graph_precision: GraphPrecision = "float32"

    def __post_init__(self) -> None:
        """Refuse faces that no network can be built for.

        Raises:
            ConfigError: a side is not 8 to 1024 pixels, or an extractor is there twice.
        """
        extractors = [part.name for part in self.features]
        if len(set(extractors)) != len(extractors):
            raise ConfigError(f"features: names repeat in {extractors!s:.200}")
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

    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a square without extent, or out of all proportion to the box.

        Raises:
            ConfigError: scale is not 0.05 to 10, or a shift is not -100 to 100.
        """
        if not 0.05 <= self.scale <= 10:
            raise ConfigError(f"framing.scale: must be 0.05 to 10, got {self.scale}")
        if not all(-100 <= shift <= 100 for shift in (self.shift_x, self.shift_y)):
            raise ConfigError(
                f"framing: shift_x and shift_y must be -100 to 100, got {self.shift_x} "
                f"and {self.shift_y}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerConfig:
    """Everything about a recognizer but its weights.

    Attributes:
        framing: by detector name, the one that it was trained with first.
        temperature: divides the log-probabilities of the ensemble; 1 leaves them.
        test_time_augmentation: ``none``; ``mirror`` averages over a face and its mirror image;
            ``shift`` over both in place and shifted in four directions.
        files: SHA-256 of every network's weights, and of its graph if there is one, by file
            name; empty until saved.
    """

    # For all within it, too: nothing unknown, converted or not finite gets in.
    __pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # noqa: RUF012
    library: Literal["emonet"] = "emonet"
    format_version: int = FORMAT_VERSION
    emonet_version: PackageVersion = field(default_factory=lambda: version("emonet"))
    labels: tuple[Label, ...] = FER2013
    detector: ComponentConfig
    framing: dict[Name, Framing] = field(default_factory=dict)
    networks: tuple[NetworkConfig, ...]
    temperature: float = 1.0
    test_time_augmentation: TestTimeAugmentation = "none"
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
            (
                len(self.labels) <= MAX_LABELS,
                f"labels: at most {MAX_LABELS} are possible, got {len(self.labels)}",
            ),
            (
                len(set(self.labels)) == len(self.labels),
                f"labels: repeated in {self.labels!s:.200}",
            ),
            (
                0 < len(names) <= MAX_NETWORKS,
                f"networks: 1 to {MAX_NETWORKS} are needed, got {len(names)}",
            ),
            (len(set(names)) == len(names), f"networks: names repeat in {names}"),
            (
                # Every face is cut out once for each of them.
                len(self.face_sizes) <= MAX_FACE_SIZES,
                f"networks: at most {MAX_FACE_SIZES} different face_size, got "
                f"{len(self.face_sizes)}",
            ),
            (
                min(weights, default=0) >= 0 and 1e-6 <= sum(weights) <= 1e6,
                f"networks: weights must be >= 0 and have a sum of 1e-6 to 1e6, got {weights}",
            ),
            (self.format_version >= 1, f"format_version: 1 or more, got {self.format_version}"),
            (
                0.1 <= self.temperature <= 100,
                f"temperature: must be 0.1 to 100, got {self.temperature}",
            ),
            (
                self.test_time_augmentation in get_args(TestTimeAugmentation),
                f"test_time_augmentation: must be one of "
                f"{', '.join(get_args(TestTimeAugmentation))}, got "
                f"{self.test_time_augmentation!r:.80}",
            ),
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

    def with_graph_precision(
        self, precision: GraphPrecision, *, without: Collection[str] = ()
    ) -> "RecognizerConfig":
        """Return the same with other graphs; networks named in ``without`` keep theirs."""
        networks = tuple(
            network if network.name in without else replace(network, graph_precision=precision)
            for network in self.networks
        )
        return replace(self, networks=networks)

    def unlearnt(self) -> "RecognizerConfig":
        """Return the same without what follows from weights: int8, temperature, digests."""
        return replace(self.with_graph_precision("float32"), temperature=1.0, files={})


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return what a name stands for.

    Raises:
        ConfigError: it stands for nothing; says which name is near, and which there are.
    """
    if name not in known:
        listed = ", ".join(known)
        raise ConfigError(f"Unknown {kind} {name!r:.80}.{nearest(name, known)} Known: {listed}")
    return known[name]


def nearest(name: str, known: Any) -> str:
    """Return ``" Did you mean 'x'?"`` for a near match, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
