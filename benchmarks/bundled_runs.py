"""The runs that make the bundled models, and other lists of runs, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Settings = Mapping[str, object]
Kind = Literal["train", "distil", "tune", "mean", "weighted", "quantise", "measure"]
#: In this order: figures are measured with the temperature.
Measure = Literal["frame", "calibrate", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run, which makes or changes a model folder.

    Attributes:
        name: name of the run and, unless it changes another folder, of its model folder.
        kind: ``train``, ``distil`` and ``tune`` train a network; ``mean`` and ``weighted`` combine
            models; ``quantise`` writes int8 graphs; ``measure`` completes the folder of a model.
        models: model folders: the members, or the model to quantise or measure.
        measures: ``frame`` measures the framing of YuNet's boxes, ``calibrate`` fits the
            temperature, ``evaluate`` measures accuracy and robustness.
        after: names of runs that come before, besides the runs that make the folders.
        teacher: folder of the teacher.
        start: folder of the model that training starts from.
        backbone: name of the backbone, for training.
        backbone_options: its settings.
        features: feature extractors and their settings.
        recipe: name of the recipe.
        recipe_options: its settings.
        options: other options of the command, such as ``epochs`` and ``seed``.
    """

    name: str
    kind: Kind
    models: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    after: tuple[str, ...] = ()
    teacher: str | None = None
    start: str | None = None
    backbone: str | None = None
    backbone_options: Settings = field(default_factory=dict)
    features: Mapping[str, Settings] = field(default_factory=dict)
    recipe: str = "scratch"
    recipe_options: Settings = field(default_factory=dict)
    options: Settings = field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the runs that come before."""
        folders = (*self.models, self.teacher, self.start)
        return (*(name for name in folders if name is not None), *self.after)

    @property
    def trains(self) -> bool:
        """Whether the run trains a network."""
        return self.kind in ("train", "distil", "tune")

    @property
    def folder(self) -> str:
        """Name of the model folder that the run makes or changes."""
        return self.models[0] if self.kind == "measure" else self.name


def _augmented(**settings: float) -> dict[str, object]:
    return {f"augmentation.{name}": value for name, value in settings.items()}


SPOILT = {"label_smoothing": 0} | _augmented(brightness=10, jpeg_compression=0.15)
GENTLE = {"mixup": 0, "no_mixup_epochs": 0} | _augmented(
    rotation=10, zoom=0.1, shift=0.06, contrast=0, brightness=0, random_erasing=0
)
TAUGHT = SPOILT | {"no_mixup_epochs": 4} | _augmented(random_erasing=0.2)
TUNED = SPOILT | {"batch_size": 128, "ema_decay": 0.998}
#: Light augmentation, but much of it in exposure and compression.
EXPOSED = GENTLE | _augmented(exposure=1, jpeg_compression=0.15)

ALL: tuple[Measure, ...] = ("frame", "calibrate", "evaluate")
_FAST = {"precision": "bfloat16"}
_SHARP = {"stem_stride": 1}

#: The runs that made the bundled models. The first networks predate mixup and random erasing in
#: the recipe. Networks are distilled from ensembles of earlier ones.
BUNDLED = (
    Run(
        name="light",
        kind="train",
        backbone="resnet18",
        recipe_options=GENTLE,
        options={"epochs": 52, "seed": 0},
    ),
    Run(name="mixed", kind="train", backbone="resnet18", options={"epochs": 64, "seed": 1}),
    Run(name="pair", kind="weighted", models=("light", "mixed")),
    Run(
        name="plain",
        kind="distil",
        teacher="pair",
        backbone="vgg",
        recipe_options=TAUGHT | {"mixup": 0} | _augmented(exposure=0.8),
        options={"epochs": 52, "seed": 2, "teacher_weight": 0.6},
    ),
    Run(name="trio", kind="weighted", models=("light", "mixed", "plain")),
    Run(name="calibrate-trio", kind="measure", models=("trio",), measures=("calibrate",)),
    Run(
        name="broad",
        kind="distil",
        teacher="trio",
        after=("calibrate-trio",),
        backbone="vgg",
        backbone_options={"width": 48},
        recipe_options=TAUGHT | {"mixup": 0.2} | _augmented(exposure=1),
        options={"epochs": 64, "seed": 5, "teacher_weight": 0.6} | _FAST,
    ),
    Run(name="quartet", kind="weighted", models=("light", "mixed", "plain", "broad")),
    Run(
        name="sharp",
        kind="distil",
        teacher="quartet",
        backbone="resnet18",
        backbone_options=_SHARP,
        recipe_options=TAUGHT | {"mixup": 0.2} | _augmented(exposure=1),
        options={"epochs": 60, "seed": 12, "teacher_weight": 0.5} | _FAST,
    ),
    Run(
        name="light2",
        kind="tune",
        teacher="quartet",
        start="light",
        recipe="tune",
        recipe_options=TUNED | {"no_mixup_epochs": 2} | _augmented(random_erasing=0.2, exposure=1),
        options={"epochs": 12, "seed": 8, "teacher_weight": 0.3} | _FAST,
    ),
    Run(
        name="drop",
        kind="train",
        backbone="vgg",
        backbone_options={"width": 64, "dropout": 0.2},
        recipe_options=EXPOSED,
        options={"epochs": 60, "seed": 31} | _FAST,
    ),
    Run(name="panel", kind="mean", models=("light2", "sharp", "drop", "broad")),
    Run(
        name="quarter",
        kind="distil",
        teacher="panel",
        backbone="resnet18",
        backbone_options={"width": 16},
        recipe_options={"no_mixup_epochs": 4, "label_smoothing": 0, "mixup": 0}
        | _augmented(
            contrast=0, brightness=0, exposure=1.25, jpeg_compression=0.15, random_erasing=0.15
        ),
        options={"epochs": 80, "seed": 97, "teacher_weight": 0.6} | _FAST,
    ),
    Run(name="tiny", kind="quantise", models=("quarter",), options={"tolerance": 0.3}),
    Run(name="finish-tiny", kind="measure", models=("tiny",), measures=ALL),
    Run(
        name="bright",
        kind="tune",
        teacher="panel",
        start="sharp",
        recipe="tune",
        recipe_options=TUNED | _augmented(exposure=1.5, random_erasing=0),
        options={"epochs": 7, "seed": 52, "teacher_weight": 0.3} | _FAST,
    ),
    Run(
        name="light3",
        kind="tune",
        teacher="panel",
        start="light2",
        recipe="tune",
        recipe_options=TUNED | _augmented(exposure=1.5, random_erasing=0.1),
        options={"epochs": 14, "seed": 72, "teacher_weight": 0.3} | _FAST,
    ),
    Run(
        name="fast",
        kind="distil",
        teacher="panel",
        backbone="resnet18",
        backbone_options=_SHARP | {"dropout": 0.1},
        recipe_options=GENTLE
        | {"label_smoothing": 0}
        | _augmented(exposure=1.5, jpeg_compression=0.15),
        options={"epochs": 56, "seed": 101, "teacher_weight": 0.5} | _FAST,
    ),
    Run(name="frame-light3", kind="measure", models=("light3",), measures=("frame",)),
    Run(
        name="default",
        kind="mean",
        models=("light3", "bright", "fast"),
        after=("frame-light3",),  # an ensemble has the framing of its first member
    ),
    Run(
        name="finish-default",
        kind="measure",
        models=("default",),
        measures=("calibrate", "evaluate"),
    ),
    Run(
        name="finish-fast",
        kind="measure",
        models=("fast",),
        measures=ALL,
        after=("default",),  # an ensemble takes over the temperatures of its members
    ),
)


def _member(name: str, seed: int, backbone: str, epochs: int = 100, **changes: object) -> Run:
    """Return a run that trains a network on labels alone."""
    recipe_options = EXPOSED | changes.pop("recipe_options", {})
    return Run(
        name=name,
        kind="train",
        backbone=backbone,
        recipe_options=recipe_options,
        options={"epochs": epochs, "seed": seed} | _FAST,
        **changes,
    )


_MEMBERS = (
    _member("vgg64", 201, "vgg", backbone_options={"width": 64, "dropout": 0.2}),
    _member("resnet", 202, "resnet18", backbone_options=_SHARP | {"dropout": 0.2}),
    _member(
        "balanced",
        203,
        "resnet18",
        backbone_options=_SHARP | {"dropout": 0.2},
        recipe_options={"class_weight_power": 0.5},
    ),
    _member(
        "vgg40",
        204,
        "vgg",
        backbone_options={"width": 64, "dropout": 0.2, "input_size": [40, 40]},
    ),
    _member(
        "erased",
        205,
        "resnet18",
        backbone_options=_SHARP | {"width": 48, "dropout": 0.2},
        recipe_options={"no_mixup_epochs": 10} | _augmented(random_erasing=0.3),
    ),
    _member(
        "mixup",
        206,
        "vgg",
        backbone_options={"width": 64, "dropout": 0.1},
        recipe_options={"mixup": 0.2, "no_mixup_epochs": 10},
    ),
    _member(
        "hog",
        207,
        "vgg",
        backbone_options={"width": 48, "dropout": 0.2},
        features={"bovw": {"landmarks": False}},
    ),
    _member(
        "shifted",
        208,
        "vgg",
        backbone_options={"width": 64, "dropout": 0.2},
        recipe_options={"label_smoothing": 0, "class_weight_power": 0.3}
        | _augmented(shift=0.1, rotation=15),
    ),
    _member("densenet", 209, "densenet", backbone_options={"dropout": 0.2}),
    _member("inception", 210, "inception", backbone_options={"width": 6, "dropout": 0.2}),
    # Its steps take twice as long.
    _member(
        "flat",
        211,
        "resnet18",
        epochs=60,
        backbone_options=_SHARP | {"dropout": 0.1},
        recipe_options={"sam_rho": 0.05},
    ),
)
#: Eleven networks from labels alone, as different as the components allow, and both ensembles.
#: ``python -m benchmarks choosing`` tells what it is worth to leave some of them out.
LABELS = (
    *_MEMBERS,
    Run(name="labels-mean", kind="mean", models=tuple(run.name for run in _MEMBERS)),
    Run(name="labels-weighted", kind="weighted", models=tuple(run.name for run in _MEMBERS)),
)

LISTS: Mapping[str, tuple[Run, ...]] = MappingProxyType({"bundled": BUNDLED, "labels": LABELS})
