"""Training procedures as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from emonet.config import look_up, nearest
from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError
from emonet.plugin import Json, require_choice, require_number

__all__ = ["RECIPES", "Phase", "Precision", "Recipe", "get_recipe"]

BackboneState = Literal["frozen", "trained", "trained_except_batch_norm"]
Optimizer = Literal["adam", "sgd"]
Schedule = Literal["constant", "cosine", "plateau"]
Monitor = Literal["val_accuracy", "val_loss"]
Precision = Literal["float32", "bfloat16"]

#: What with_settings replaces, beside every value of the augmentation.
SETTINGS = (
    "batch_size",
    "class_weight_power",
    "label_smoothing",
    "mixup",
    "calm_epochs",
    "average",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of training with one optimiser; its state starts afresh.

    Attributes:
        epochs: at most this many.
        backbone: ``frozen`` trains the head alone; ``trained`` trains everything;
            ``trained_except_batch_norm`` leaves batch normalisation in inference mode.
        optimizer: ``sgd`` is Nesterov's.
        learning_rate: the peak.
        momentum: 0..1, of ``sgd``; ``adam`` has its own.
        schedule: ``constant``; ``cosine`` from the peak to 0 over the phase; ``plateau``
            halves it whenever the validation loss has not improved for ``plateau_patience``
            epochs.
        plateau_patience: with ``plateau``, at least 1.
        warmup_epochs: with ``cosine``, epochs of linear increase from 0 to the peak.
        weight_decay: decoupled: a step shrinks kernels by learning_rate * weight_decay. With
            momentum 0.9 that is as strong as a tenth of it added to the loss's gradient.
        patience: stop after this many epochs without improvement; None never does.
    """

    epochs: int
    backbone: BackboneState = "trained"
    optimizer: Optimizer = "sgd"
    learning_rate: float
    momentum: float = 0.9
    schedule: Schedule = "constant"
    warmup_epochs: float = 0.0
    plateau_patience: int = 3
    weight_decay: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no phase can do.

        Raises:
            ConfigError: a choice that does not exist, a number out of its range, or no epoch.
        """
        require_number("phase", "epochs", self.epochs, 1, whole=True)
        for name in ("learning_rate", "warmup_epochs", "weight_decay"):
            require_number("phase", name, getattr(self, name), 0)
        require_number("phase", "momentum", self.momentum, 0, 1)
        require_number("phase", "plateau_patience", self.plateau_patience, 1, whole=True)
        if self.patience is not None:
            require_number("phase", "patience", self.patience, 1, whole=True)
        require_choice("phase", "backbone", self.backbone, get_args(BackboneState))
        require_choice("phase", "optimizer", self.optimizer, get_args(Optimizer))
        require_choice("phase", "schedule", self.schedule, get_args(Schedule))
        if self.warmup_epochs and self.schedule != "cosine":
            raise ConfigError(
                f"phase: warmup_epochs goes with the schedule 'cosine', got {self.schedule!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A complete training procedure.

    Attributes:
        phases: in order.
        batch_size: faces per step; one less where it is odd and more than 1.
        augmentation: random changes, drawn anew for every face in every epoch.
        class_weight_power: how much more the faces of rare classes count in the loss: a class
            weighs ``(n / (classes * faces)) ** class_weight_power``, scaled to a mean of 1
            over all faces. 0 weighs them alike, 1 is scikit-learn's "balanced".
        label_smoothing: share of the target spread evenly over all classes, 0..1.
        mixup: parameter of the beta distribution that mixing weights come from
            (Zhang et al. 2017); 0 mixes nothing.
        calm_epochs: at the very end, without mixup and erasing.
        average: decay per step of the exponential moving average of the weights, which is
            what is validated and kept; 0 keeps the weights themselves.
        monitor: which validation figure chooses the epoch that is kept and stops early.
        precision: ``bfloat16`` computes in mixed precision; weights stay float32. It pays on
            processors with avx512_bf16 or amx_bf16 and on GPUs; elsewhere it is slower.
    """

    name: str
    phases: tuple[Phase, ...]
    batch_size: int = 64
    augmentation: Augmentation = field(default_factory=Augmentation)
    class_weight_power: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    calm_epochs: int = 0
    average: float = 0.0
    monitor: Monitor = "val_loss"
    precision: Precision = "float32"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Return the recipe that a model's ``training.recipe`` notes.

        Raises:
            ConfigError: a value is missing or unknown, or its recipe can't be carried out.
        """
        try:
            parts = {
                "phases": tuple(Phase(**phase) for phase in values["phases"]),
                "augmentation": Augmentation(**values["augmentation"]),
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"This is not what a model's training.recipe holds: {error!r:.200}"
            ) from error

    def __post_init__(self) -> None:
        """Refuse what no recipe can do.

        Raises:
            ConfigError: a choice that does not exist, a number out of its range, no phase, or
                augmentation of another kind.
        """
        name = f"recipe {self.name}"
        require_choice(name, "monitor", self.monitor, get_args(Monitor))
        require_choice(name, "precision", self.precision, get_args(Precision))
        require_number(name, "batch_size", self.batch_size, 1, whole=True)
        require_number(name, "class_weight_power", self.class_weight_power, 0, 1)
        require_number(name, "label_smoothing", self.label_smoothing, 0, 1)
        require_number(name, "mixup", self.mixup, 0)
        require_number(name, "calm_epochs", self.calm_epochs, 0, whole=True)
        require_number(name, "average", self.average, 0, 1)
        phases = isinstance(self.phases, tuple) and self.phases
        if not phases or not all(isinstance(phase, Phase) for phase in phases):
            raise ConfigError(
                f"{name}: phases must be a tuple of one Phase or more, got {self.phases!r:.200}"
            )
        if not isinstance(self.augmentation, Augmentation):
            raise ConfigError(
                f"{name}: augmentation must be an Augmentation, got {self.augmentation!r:.200}"
            )

    @property
    def epochs(self) -> int:
        """The most epochs that all phases take together."""
        return sum(phase.epochs for phase in self.phases)

    def with_epochs(self, epochs: int) -> "Recipe":
        """Return the recipe with this many epochs, shared out as its phases share theirs.

        Raises:
            ConfigError: the number is not whole, or less than that of the phases.
        """
        require_number("recipe", "epochs", epochs, 1, whole=True)
        if epochs < len(self.phases):
            raise ConfigError(
                f"The recipe {self.name!r} has {len(self.phases)} phases and needs at least "
                f"as many epochs, got {epochs}"
            )
        left, phases = epochs, []
        for index, phase in enumerate(self.phases):
            later = self.phases[index + 1 :]
            share = round(left * phase.epochs / sum(p.epochs for p in (phase, *later)))
            share = min(max(share, 1), left - len(later))
            warmup = phase.warmup_epochs * share / phase.epochs
            phases.append(replace(phase, epochs=share, warmup_epochs=warmup))
            left -= share
        calm = min(self.calm_epochs, epochs // 2)
        return replace(self, phases=tuple(phases), calm_epochs=calm)

    def with_settings(self, settings: Mapping[str, Json]) -> "Recipe":
        """Return the recipe with some of its numbers replaced.

        Args:
            settings: ``{"mixup": 0.4}``; those of the augmentation as ``augmentation.erase``.
                ``learning_rate`` is the last phase's.

        Raises:
            ConfigError: there is no such number, or it is out of its range.
        """
        prefix = "augmentation."
        known = ["learning_rate", *SETTINGS, *(prefix + part.name for part in fields(Augmentation))]
        for key in settings:
            if key not in known:
                raise ConfigError(
                    f"The recipe {self.name!r} has no setting {key!r:.80}.{nearest(key, known)} "
                    f"Settings: {', '.join(known)}"
                )
        changes: dict[str, Any] = {k: v for k, v in settings.items() if k in SETTINGS}
        augmentation: dict[str, Any] = {
            key.removeprefix(prefix): value
            for key, value in settings.items()
            if key.startswith(prefix)
        }
        if "learning_rate" in settings:
            *earlier, last = self.phases
            last = replace(last, learning_rate=settings["learning_rate"])
            changes["phases"] = (*earlier, last)
        return replace(self, augmentation=replace(self.augmentation, **augmentation), **changes)


#: The seed paper's section 5: the head first, then everything, gently.
PAPER = Recipe(
    name="paper",
    phases=(
        Phase(epochs=5, backbone="frozen", optimizer="adam", learning_rate=1e-3),
        Phase(
            epochs=50,
            optimizer="sgd",
            learning_rate=1e-3,
            schedule="plateau",
            plateau_patience=3,
            patience=10,
        ),
    ),
    batch_size=64,
    augmentation=Augmentation(rotation=10, shear=10, zoom=0.1, mirror=True),
    monitor="val_loss",
)

#: For small networks without pretraining: strong steps, averaged weights, a cosine to zero.
#: Mixing and erasing keep small networks from learning 28,709 noisy labels by heart; without
#: them the half-width resnet18 had 86 % on its training faces after 52 epochs.
SCRATCH = Recipe(
    name="scratch",
    phases=(
        Phase(
            epochs=64,
            optimizer="sgd",
            learning_rate=0.1,
            schedule="cosine",
            warmup_epochs=2,
            weight_decay=5e-3,
        ),
    ),
    batch_size=128,
    augmentation=Augmentation(
        rotation=12, zoom=0.15, shift=0.08, mirror=True, contrast=0.2, brightness=20, erase=0.3
    ),
    label_smoothing=0.1,
    mixup=0.2,
    calm_epochs=8,
    average=0.998,
    monitor="val_accuracy",
)

#: For a network that knows faces already: small steps, and an average short enough for a few
#: hundred faces.
TUNE = Recipe(
    name="tune",
    phases=(
        Phase(
            epochs=16,
            optimizer="sgd",
            learning_rate=0.01,
            schedule="cosine",
            warmup_epochs=1,
            weight_decay=5e-3,
        ),
    ),
    batch_size=64,
    augmentation=Augmentation(
        rotation=12, zoom=0.15, shift=0.08, mirror=True, contrast=0.2, brightness=20, erase=0.2
    ),
    label_smoothing=0.1,
    average=0.98,
    monitor="val_accuracy",
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (PAPER, SCRATCH, TUNE)}
)


def get_recipe(
    recipe: str | Recipe, *, epochs: int | None = None, precision: Precision | None = None
) -> Recipe:
    """Return a recipe by its name, or the recipe itself, with some of it replaced.

    Raises:
        ConfigError: no recipe has that name, or it needs more epochs.
    """
    chosen = recipe if isinstance(recipe, Recipe) else look_up("recipe", recipe, RECIPES)
    if epochs is not None:
        chosen = chosen.with_epochs(epochs)
    return chosen if precision is None else replace(chosen, precision=precision)
