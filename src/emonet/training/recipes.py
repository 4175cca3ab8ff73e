"""Recipes: training procedures as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from emonet.config import look_up, nearest
from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError
from emonet.plugin import Json, require_choice, require_number

BackboneState = Literal["frozen", "trained", "trained_except_batch_norm"]
Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "plateau"]
Monitor = Literal["val_accuracy", "val_loss"]
Precision = Literal["float32", "bfloat16"]

#: The settings of with_settings, besides those of the augmentation.
SETTINGS = (
    "batch_size",
    "class_weight_power",
    "label_smoothing",
    "mixup",
    "no_mixup_epochs",
    "ema_decay",
    "sam_rho",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A number of epochs with an optimiser of their own.

    Attributes:
        epochs: the largest number of epochs.
        backbone: ``frozen`` trains the head only; ``trained`` trains everything;
            ``trained_except_batch_norm`` leaves batch normalisation in inference mode.
        optimizer: ``sgd`` (with Nesterov momentum), ``adam`` or ``adamw``. With a weight decay,
            ``adam`` equals ``adamw``, because Keras decouples the decay of every optimiser.
        learning_rate: the peak learning rate.
        momentum: momentum of ``sgd``, 0..1.
        schedule: ``constant``; ``cosine`` from the peak to 0 over the phase; ``plateau``
            halves it whenever the validation loss has not improved for ``plateau_patience``
            epochs.
        plateau_patience: epochs that ``plateau`` waits, at least 1.
        warmup_epochs: with ``cosine``, epochs of linear increase from 0 to the peak.
        weight_decay: decoupled: a step shrinks kernels by learning_rate * weight_decay. With
            momentum 0.9, adding a tenth of it to the gradient (L2) has the same effect.
        patience: stop after this many epochs without improvement; None never stops early.
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
        """Raise ConfigError if a choice does not exist, or a number is out of range."""
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
                f"phase: warmup_epochs needs the schedule 'cosine', got {self.schedule!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A complete training procedure.

    Attributes:
        phases: the phases, in order.
        batch_size: faces per step; an odd number above 1 is lowered by 1.
        augmentation: random changes of each face in each epoch.
        class_weight_power: raises the weight of rare classes in the loss: a class has the weight
            ``(n / (classes * faces)) ** class_weight_power``, scaled to a mean of 1 over all
            faces. 0 weights all classes equally, 1 is scikit-learn's "balanced".
        label_smoothing: share of the target spread evenly over all classes, 0..1.
        mixup: parameter of the beta distribution of mixing weights (Zhang et al. 2017); 0 turns
            mixup off.
        no_mixup_epochs: number of last epochs without mixup and random erasing.
        ema_decay: decay per step of the exponential moving average of the weights. The averaged
            weights are validated and kept; 0 turns averaging off.
        sam_rho: radius of sharpness-aware minimisation (Foret et al. 2021), 0 to 10; such steps
            take twice as long. 0 turns it off, and 0.05 to 0.1 is usual.
        monitor: validation figure that selects the best epoch and stops training early.
        precision: ``bfloat16`` computes in mixed precision; weights stay float32. It is faster on
            GPUs and on processors with avx512_bf16 or amx_bf16, and slower on others.
    """

    name: str
    phases: tuple[Phase, ...]
    batch_size: int = 64
    augmentation: Augmentation = field(default_factory=Augmentation)
    class_weight_power: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    no_mixup_epochs: int = 0
    ema_decay: float = 0.0
    sam_rho: float = 0.0
    monitor: Monitor = "val_loss"
    precision: Precision = "float32"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Return the recipe from the ``recipe`` of a training record.

        Raises:
            ConfigError: a value is missing, unknown or out of range.
        """
        try:
            parts = {
                "phases": tuple(Phase(**phase) for phase in values["phases"]),
                "augmentation": Augmentation(**values["augmentation"]),
            }
            return cls(**{**values, **parts})
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"This is not the recipe of a training record: {error!r:.200}"
            ) from error

    def __post_init__(self) -> None:
        """Raise ConfigError if a choice does not exist, or a value is out of range."""
        name = f"recipe {self.name}"
        require_choice(name, "monitor", self.monitor, get_args(Monitor))
        require_choice(name, "precision", self.precision, get_args(Precision))
        require_number(name, "batch_size", self.batch_size, 1, whole=True)
        require_number(name, "class_weight_power", self.class_weight_power, 0, 1)
        require_number(name, "label_smoothing", self.label_smoothing, 0, 1)
        require_number(name, "mixup", self.mixup, 0)
        require_number(name, "no_mixup_epochs", self.no_mixup_epochs, 0, whole=True)
        require_number(name, "ema_decay", self.ema_decay, 0, 1)
        require_number(name, "sam_rho", self.sam_rho, 0, 10)
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
        """The largest number of epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def with_epochs(self, epochs: int) -> "Recipe":
        """Return the recipe with this many epochs, divided among its phases in proportion.

        Raises:
            ConfigError: the number is not whole, or smaller than the number of phases.
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
            count = round(left * phase.epochs / sum(p.epochs for p in (phase, *later)))
            count = min(max(count, 1), left - len(later))
            warmup = phase.warmup_epochs * count / phase.epochs
            phases.append(replace(phase, epochs=count, warmup_epochs=warmup))
            left -= count
        unmixed = min(self.no_mixup_epochs, epochs // 2)
        return replace(self, phases=tuple(phases), no_mixup_epochs=unmixed)

    def with_settings(self, settings: Mapping[str, Json]) -> "Recipe":
        """Return the recipe with some settings replaced.

        Args:
            settings: ``{"mixup": 0.4}``. Settings of the augmentation are written
                ``augmentation.random_erasing``; ``learning_rate`` changes the last phase.

        Raises:
            ConfigError: there is no such setting, or a value is out of range.
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


#: Section 5 of the paper: train the head first, then all layers at a low rate.
PAPER = Recipe(
    name="paper",
    phases=(
        Phase(epochs=5, backbone="frozen", optimizer="adam", learning_rate=1e-3),
        Phase(epochs=50, learning_rate=1e-3, schedule="plateau", plateau_patience=3, patience=10),
    ),
    batch_size=64,
    augmentation=Augmentation(rotation=10, shear=10, zoom=0.1, horizontal_flip=True),
    monitor="val_loss",
)

#: For small networks without pretraining: a high learning rate, a cosine schedule, averaged
#: weights. Mixup and erasing keep them from memorising 28,709 noisy labels: without, the
#: half-width resnet18 had 86 % accuracy on its training faces after 52 epochs.
SCRATCH = Recipe(
    name="scratch",
    phases=(
        Phase(epochs=64, learning_rate=0.1, schedule="cosine", warmup_epochs=2, weight_decay=5e-3),
    ),
    batch_size=128,
    augmentation=Augmentation(
        rotation=12,
        zoom=0.15,
        shift=0.08,
        horizontal_flip=True,
        contrast=0.2,
        brightness=20,
        random_erasing=0.3,
    ),
    label_smoothing=0.1,
    mixup=0.2,
    no_mixup_epochs=8,
    ema_decay=0.998,
    monitor="val_accuracy",
)

#: For fine-tuning a trained network: a low learning rate, and weight averaging short enough for
#: a few hundred faces.
TUNE = replace(
    SCRATCH,
    name="tune",
    phases=(replace(SCRATCH.phases[0], epochs=16, learning_rate=0.01, warmup_epochs=1),),
    batch_size=64,
    augmentation=replace(SCRATCH.augmentation, random_erasing=0.2),
    mixup=0.0,
    no_mixup_epochs=0,
    ema_decay=0.98,
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {recipe.name: recipe for recipe in (PAPER, SCRATCH, TUNE)}
)


def get_recipe(
    recipe: str | Recipe, *, epochs: int | None = None, precision: Precision | None = None
) -> Recipe:
    """Return a recipe, given itself or its name, with other epochs and another precision.

    Raises:
        ConfigError: no recipe has this name, or it needs more epochs.
    """
    chosen = recipe if isinstance(recipe, Recipe) else look_up("recipe", recipe, RECIPES)
    if epochs is not None:
        chosen = chosen.with_epochs(epochs)
    return chosen if precision is None else replace(chosen, precision=precision)
