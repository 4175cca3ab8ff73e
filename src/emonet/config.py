"""The configuration of a model, as config.json stores it: frozen, validated dataclasses.

A configuration names components, never import paths or files. A file's name follows from the
validated name of its network.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar, get_args

from emonet.errors import ConfigError
from emonet.labels import FER2013
from emonet.plugin import NAME_PATTERN, Json
from emonet.support.versions import emonet_version

T = TypeVar("T")

#: Increased when older releases of emonet can't read new files.
FORMAT_VERSION = 1

# Limits on the memory that an untrusted model can request.
MAX_UNITS = 4096
MAX_LAYERS = 4
MAX_NETWORKS = 64
MAX_LABELS = 1000
MAX_LABEL_LENGTH = 64
MAX_FACE_SIZES = 8


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A regular expression for pydantic, which is imported only to read a file."""

    regex: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        schema = handler(source)
        schema["pattern"] = self.regex
        return schema


Name = Annotated[str, _Pattern(f"^{NAME_PATTERN.pattern}$")]
PackageName = Annotated[str, _Pattern(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?)?$")]
PackageVersion = Annotated[str, _Pattern(r"^[A-Za-z0-9.+!_-]{0,64}$")]
Digest = Annotated[str, _Pattern(r"^[0-9a-f]{64}$")]
FileName = Annotated[str, _Pattern(r"^[a-z][a-z0-9_]{0,63}\.(safetensors|onnx)$")]
# The plugin checks the name of a setting. Error messages quote it, so its length is limited.
Setting = Annotated[str, _Pattern(r"^(?s:.){1,64}$")]

#: Characters without an image of their own that str.isprintable accepts: joiners, fillers, an
#: empty Braille cell and variation selectors.
INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    r"\U000e0100-\U000e01ef]"
)

#: The views of a face that a prediction averages over: see network.views.
TestTimeAugmentation = Literal["none", "horizontal_flip", "shift"]
GraphPrecision = Literal["float32", "int8"]
#: ``eyes``: the crop of a tilted head is turned, so that its eyes are level.
Alignment = Literal["none", "eyes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentConfig:
    """A component: its name, its complete configuration, and the plugin that provides it."""

    name: Name
    config: dict[Setting, Json] = field(default_factory=dict)
    config_version: int = 1
    plugin: PackageName = ""
    distribution: PackageName = ""
    distribution_version: PackageVersion = ""

    def __post_init__(self) -> None:
        """Validate config_version."""
        if self.config_version < 1:
            raise ConfigError(f"config_version: must be 1 or more, got {self.config_version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """The layers between features and class probabilities.

    Attributes:
        units: widths of the dense layers after fusion; empty for none.
        feature_units: width of the dense layer for each extractor's vector before fusion.
        dropout: dropout rate before each of ``units`` and the output layer; 0..1, below 1.
    """

    units: tuple[int, ...] = ()
    feature_units: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Validate widths and dropout."""
        widths = self.units if isinstance(self.units, tuple | list) else (None,)
        legal = range(1, MAX_UNITS + 1)
        if len(widths) > MAX_LAYERS or any(
            width not in legal for width in (*widths, self.feature_units)
        ):
            raise ConfigError(
                f"head: units must be up to {MAX_LAYERS} widths in 1..{MAX_UNITS}, and "
                f"feature_units one width, got {self.units!s:.80} and {self.feature_units!s:.80}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"head.dropout: must be 0 or more and below 1, got {self.dropout}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """One network: backbone, feature extractors, head, and its weight in the ensemble.

    Attributes:
        name: the network's unique name; its files have the same name.
        backbone: the backbone and its configuration.
        features: the feature extractors and their configurations, in the order of fusion.
        head: the layers between features and probabilities.
        face_size: (height, width) of input faces, pixels.
        subtract_mean_face: subtract the training set's mean face, a layer saved with the weights.
        weight: weight of the probabilities in the ensemble's mean; only proportions matter.
        graph_precision: precision of convolutions in the ONNX graph. An int8 graph holds its own
            weights. Keras and training use the float32 weights.
    """

    name: Name
    backbone: ComponentConfig
    features: tuple[ComponentConfig, ...] = ()
    head: HeadConfig = HeadConfig()
    face_size: tuple[int, int] = (48, 48)
    subtract_mean_face: bool = False
    weight: float = 1.0
    graph_precision: GraphPrecision = "float32"

    def __post_init__(self) -> None:
        """Validate the face size and the names of the feature extractors."""
        extractors = [part.name for part in self.features]
        if len(set(extractors)) != len(extractors):
            raise ConfigError(f"features: names must not repeat, got {extractors!s:.200}")
        if not all(8 <= side <= 1024 for side in self.face_size):
            raise ConfigError(f"face_size: sides must be 8 to 1024 pixels, got {self.face_size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """The square crop of a face relative to the detector's box, as in the training faces.

    Attributes:
        scale: the square's side, in units of the box's side (root of width times height).
        shift_x: the offset of the square's centre from the box's, in box sides; positive is right.
        shift_y: likewise; positive is down.
    """

    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0

    def __post_init__(self) -> None:
        """Validate scale and shifts."""
        if not 0.05 <= self.scale <= 10:
            raise ConfigError(f"framing.scale: must be 0.05 to 10, got {self.scale}")
        if not all(-100 <= shift <= 100 for shift in (self.shift_x, self.shift_y)):
            raise ConfigError(
                f"framing: shift_x and shift_y must be -100 to 100, got {self.shift_x} "
                f"and {self.shift_y}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrior:
    """How frequent each class is expected to be where the model is used.

    Attributes:
        shares: expected share of each class, 1e-6 to 1; they sum to 1.
        strength: 0 keeps the shares of the training data, 1 takes the expected ones.
    """

    shares: dict[str, float]
    strength: float = 1.0

    def __post_init__(self) -> None:
        """Validate shares and strength."""
        shares = list(self.shares.values())
        if not all(1e-6 <= share <= 1 for share in shares) or not 0.999 <= sum(shares) <= 1.001:
            raise ConfigError(
                f"prior.shares: each must be 1e-6 to 1, and their sum 1, got {self.shares!a:.200}"
            )
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"prior.strength: must be 0 to 1, got {self.strength}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The configuration of a model: everything but weights, graphs and record.

    Attributes:
        framing: framing by detector name; the detector used in training comes first.
        alignment: ``eyes`` turns the crop of a tilted head, so that its eyes are level, if the
            detector has five landmarks; ``none`` leaves it as it is.
        temperature: divides the log-probabilities of the ensemble; 1 changes nothing.
        training_counts: number of training faces by label; empty if unknown.
        prior: how frequent each class is expected to be; None for as frequent as in training.
        test_time_augmentation: ``none``; ``horizontal_flip``, the mean over a face and its mirror
            image; ``shift``, the mean over both, in place and shifted in four directions.
        files: SHA-256 of each weights file and each graph, by file name; empty until saved.
    """

    # Nested dataclasses too: reject unknown keys, other types and numbers that are not finite.
    __pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # noqa: RUF012
    library: Literal["emonet"] = "emonet"
    format_version: int = FORMAT_VERSION
    emonet_version: PackageVersion = field(default_factory=emonet_version)
    labels: tuple[str, ...] = FER2013
    detector: ComponentConfig
    framing: dict[Name, Framing] = field(default_factory=dict)
    alignment: Alignment = "none"
    networks: tuple[NetworkConfig, ...]
    temperature: float = 1.0
    training_counts: dict[str, int] = field(default_factory=dict)
    prior: ClassPrior | None = None
    test_time_augmentation: TestTimeAugmentation = "none"
    files: dict[FileName, Digest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate labels, networks and numbers."""
        labels, count = self.labels, len(self.labels)
        names = [network.name for network in self.networks]
        weights = [network.weight for network in self.networks]
        views = get_args(TestTimeAugmentation)
        checks = (
            (count >= 2, f"labels: two or more are needed, got {labels!a:.200}"),
            (count <= MAX_LABELS, f"labels: at most {MAX_LABELS} are allowed, got {count}"),
            (
                all(map(_is_plain, labels)),
                f"labels: each must have 1 to {MAX_LABEL_LENGTH} printable characters, without "
                f"blanks around them, got {labels!a:.200}",
            ),
            (
                len(set(map(appearance, labels))) == count,
                f"labels: names must not repeat or look alike, got {labels!a:.200}",
            ),
            (
                0 < len(names) <= MAX_NETWORKS,
                f"networks: 1 to {MAX_NETWORKS} are needed, got {len(names)}",
            ),
            (len(set(names)) == len(names), f"networks: names must not repeat, got {names}"),
            (
                # Each size needs another crop of every face.
                len(self.face_sizes) <= MAX_FACE_SIZES,
                f"networks: at most {MAX_FACE_SIZES} face sizes, got {len(self.face_sizes)}",
            ),
            (
                min(weights, default=0) >= 0 and 1e-6 <= sum(weights) <= 1e6,
                f"networks: weights must be 0 or more, with a sum of 1e-6 to 1e6, got {weights}",
            ),
            (self.format_version >= 1, f"format_version: must be >= 1, got {self.format_version}"),
            (
                0.1 <= self.temperature <= 100,
                f"temperature: must be 0.1 to 100, got {self.temperature}",
            ),
            (
                not self.training_counts
                or (
                    set(self.training_counts) == set(labels)
                    and all(1 <= number <= 1e12 for number in self.training_counts.values())
                ),
                f"training_counts: must have a number above 0 for each label, got "
                f"{self.training_counts!a:.200}",
            ),
            (
                self.prior is None
                or (set(self.prior.shares) == set(labels) == set(self.training_counts)),
                "prior: needs a share for each label, and training_counts",
            ),
            (
                self.alignment in get_args(Alignment),
                f"alignment: must be 'none' or 'eyes', got {self.alignment!r:.80}",
            ),
            (
                self.test_time_augmentation in views,
                f"test_time_augmentation: must be one of {', '.join(views)}, got "
                f"{self.test_time_augmentation!r:.80}",
            ),
        )
        for holds, message in checks:
            if not holds:
                raise ConfigError(message)

    @property
    def face_sizes(self) -> tuple[tuple[int, int], ...]:
        """The different face sizes of the networks, (height, width), largest first."""
        return tuple(sorted({network.face_size for network in self.networks}, reverse=True))

    @property
    def class_factors(self) -> tuple[float, ...] | None:
        """What the prior multiplies each class's probability by, in label order; None without."""
        if self.prior is None:
            return None
        total, prior = sum(self.training_counts.values()), self.prior
        return tuple(
            (prior.shares[label] / (self.training_counts[label] / total)) ** prior.strength
            for label in self.labels
        )

    def framing_for(self, detector: str) -> Framing:
        """Return a detector's framing; by default the first detector's."""
        default = next(iter(self.framing.values()), Framing())
        return self.framing.get(detector, default)

    def with_framing(self, detector: str, framing: Framing) -> "ModelConfig":
        """Return the config with one detector's framing replaced or added."""
        return replace(self, framing={**self.framing, detector: framing})

    def with_graph_precision(
        self, precision: GraphPrecision, *, keep: Collection[str] = ()
    ) -> "ModelConfig":
        """Return the config with another graph precision, except for networks named in ``keep``."""
        networks = tuple(
            network if network.name in keep else replace(network, graph_precision=precision)
            for network in self.networks
        )
        return replace(self, networks=networks)

    def untrained(self) -> "ModelConfig":
        """Return the config without values that follow from weights, such as the temperature."""
        return replace(
            self.with_graph_precision("float32"),
            temperature=1.0,
            training_counts={},
            prior=None,
            files={},
        )


def _is_plain(label: Any) -> bool:
    """Return whether a label can be shown anywhere: short, printable and visible."""
    return (
        isinstance(label, str)
        and len(label) <= MAX_LABEL_LENGTH
        and label.isprintable()
        and label == label.strip()
        and bool(appearance(label))
    )


def appearance(label: Any) -> str:
    """Return the same text for labels that look alike: ``"anger"`` for ``"ANGER"``."""
    text = unicodedata.normalize("NFKC", str(label)).casefold()
    return INVISIBLE.sub("", unicodedata.normalize("NFKC", text))


def look_up(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Return the value of a name; the error of an unknown name lists the known ones."""
    if name not in known:
        listed = ", ".join(known)
        raise ConfigError(f"Unknown {kind} {name!r:.80}.{nearest(name, known)} Known: {listed}")
    return known[name]


def nearest(name: str, known: Any) -> str:
    """Return ``" Did you mean 'x'?"`` for a similar name, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
