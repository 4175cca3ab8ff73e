"""Records: how a model came to be and how good it is, as plain frozen data.

``training.json`` of a model folder holds one TrainingRecord. Nothing here computes: training,
evaluation and storage fill these classes in and read them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

#: ``fixed``: the teacher sees each training face once, unchanged. ``consistent``: it sees every
#: batch that the student sees (Beyer et al. 2022).
Teaching = Literal["fixed", "consistent"]

#: Figures that an audit compares between groups; ``ece`` is the expected calibration error.
Measure = Literal["false_label", "accuracy", "recall", "ece"]


@dataclass(frozen=True, slots=True)
class ClassReport:
    """Figures of one class: precision, recall and F1 in 0..1, and its number of faces."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of a recognizer on one data set; every share is in 0..1.

    Attributes:
        n: number of faces.
        accuracy: share of faces whose most probable class is correct.
        accuracy_interval_95: Wilson's 95 % interval of the accuracy.
        macro_f1: mean F1 of the classes that have faces.
        per_class: ClassReport by label.
        confusion: counts, one row per true class, one column per predicted class, in label order.
        log_loss: mean negative log-probability of the true class, nats.
        ece: expected calibration error over 15 equal bins (Guo et al. 2017).
    """

    n: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]
    macro_f1: float
    per_class: Mapping[str, ClassReport]
    confusion: tuple[tuple[int, ...], ...]
    log_loss: float
    ece: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two recognizers on the same faces; a positive difference means that the second is better.

    Attributes:
        faces: number of faces.
        first: accuracy of the first recognizer, 0..1.
        second: accuracy of the second one.
        difference: ``second - first``.
        interval_95: bootstrap 95 % interval of the difference; the faces are drawn in pairs.
        only_first: number of faces that only the first one labels correctly.
        only_second: number of faces that only the second one labels correctly.
        p_value: exact McNemar test of the hypothesis that both are equally accurate.
    """

    faces: int
    first: float
    second: float
    difference: float
    interval_95: tuple[float, float]
    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Faces of one true label that two recognizers label differently.

    Attributes:
        label: the true label.
        first: the first recognizer's label.
        second: the second one's.
        faces: number of such faces.
    """

    label: str
    first: str
    second: str
    faces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two recognizers compared on the same faces.

    Attributes:
        first: Report of the first recognizer.
        second: Report of the second one.
        overall: the difference of their accuracies.
        per_class: the same for the faces of each true label that has faces.
        disagreements: where they differ, the most frequent case first.
    """

    first: Report
    second: Report
    overall: Difference
    per_class: Mapping[str, Difference]
    disagreements: tuple[Disagreement, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share of some faces.

    Attributes:
        value: the share, 0..1.
        interval_95: Wilson's 95 % interval.
        faces: number of faces that it is a share of.
    """

    value: float
    interval_95: tuple[float, float]
    faces: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReport:
    """Figures of a recognizer on one group of faces.

    Attributes:
        report: Report on the faces of the group.
        small: whether the group has fewer faces than the audit's ``min_faces``.
        recall: by label, the share of its faces that get the label; only labels with faces.
        false_labels: by label, the share of all other faces that get the label. That of anger is
            the false-anger rate.
        ece_interval_95: bootstrap 95 % interval of the calibration error.
        perfect_ece: calibration error that perfect scores would have on so few faces.
    """

    report: Report
    small: bool
    recall: Mapping[str, Proportion]
    false_labels: Mapping[str, Proportion]
    ece_interval_95: tuple[float, float]
    perfect_ece: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The largest difference between two groups in one figure.

    Attributes:
        measure: ``"false_label"``, ``"accuracy"``, ``"recall"`` or ``"ece"``.
        label: the label, for recall and false labels; else None.
        true_label: the true label of the faces, for false labels of one class; else None.
        highest: the group with the highest figure.
        lowest: the group with the lowest figure.
        values: figures of the highest and the lowest group, 0..1.
        difference: the first value minus the second, 0..1.
        interval_95: 95 % interval of the difference, -1..1: Newcombe's for shares, and a
            bootstrap interval for calibration.
        p_value: how often groups drawn at random differ as much, 0..1 (a permutation test of the
            largest difference between any two of the compared groups).
        small: whether a group has too few faces for this figure.
    """

    measure: Measure
    label: str | None = None
    true_label: str | None = None
    highest: str
    lowest: str
    values: tuple[float, float]
    difference: float
    interval_95: tuple[float, float]
    p_value: float
    small: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """How well a recognizer works for each group of faces.

    Attributes:
        overall: Report on all faces.
        groups: GroupReport by name of the group.
        gaps: the largest gap in each figure: false anger first, then by size, those of small
            groups last.
        min_faces: groups with fewer faces are marked as small.
    """

    overall: Report
    groups: Mapping[str, GroupReport]
    gaps: tuple[Gap, ...]
    min_faces: int

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """Accuracy on changed faces.

    Attributes:
        n: number of faces.
        unchanged: accuracy on the original faces, 0..1.
        changed: accuracy by name of the change.
    """

    n: int
    unchanged: float
    changed: Mapping[str, float]

    def drop(self, change: str) -> float:
        """Return how many points (hundredths) of accuracy a change costs."""
        return 100 * (self.unchanged - self.changed[change])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: n, unchanged, and accuracy and drop by change."""
        return {
            "n": self.n,
            "unchanged": self.unchanged,
            "changed": {
                name: {"accuracy": accuracy, "drop": self.drop(name)}
                for name, accuracy in self.changed.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationFigures:
    """Accuracy (0..1), log loss (nats) and expected calibration error (0..1)."""

    accuracy: float
    log_loss: float
    ece: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The effect of one score threshold.

    Attributes:
        min_score: faces with a lower score get no label.
        coverage: share of faces that keep their label, 0..1.
        accuracy: accuracy on those faces, 0..1; None if there are none.
    """

    min_score: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted temperature, and its effect on held-out faces.

    Attributes:
        temperature: divides the log-probabilities; 1 leaves them unchanged.
        fitted_on: number of faces that the temperature was fitted on.
        faces: number of held-out faces; all figures are theirs.
        before: figures with temperature 1.
        after: figures with this temperature.
        coverage: effect of thresholds from 0 up, with this temperature.
        seed: seed of the split into both halves.
        perfect_ece: calibration error that perfect scores would have on so few faces.
    """

    temperature: float
    fitted_on: int
    faces: int
    before: CalibrationFigures
    after: CalibrationFigures
    coverage: tuple[Coverage, ...]
    seed: int
    perfect_ece: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleWeights:
    """Fitted weights of an ensemble, and their effect; accuracies are in 0..1.

    Attributes:
        weights: weight by member; they sum to 1.
        members: accuracy of each member alone.
        mean: accuracy of the plain mean of all members.
        fitted: accuracy with the weights, on the faces that they were fitted on.
        held_out: accuracy if each fifth of the faces gets weights fitted on the other four.
            Compare it with ``mean`` to see whether the weights help.
        log_loss: log loss of the weighted mean, nats.
        faces: number of faces.
        seed: seed of the search and of the fifths.
    """

    weights: Mapping[str, float]
    members: Mapping[str, float]
    mean: float
    fitted: float
    held_out: float
    log_loss: float
    faces: int
    seed: int

    @property
    def beats_mean(self) -> bool:
        """Whether fitted weights beat the plain mean on held-out faces."""
        return self.held_out > self.mean


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationFigures:
    """Cross-entropy (nats) and accuracy (0..1) on the validation faces."""

    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord(ValidationFigures):
    """One finished epoch.

    Attributes:
        epoch: number of the epoch, from 1, through all phases.
        phase: index of the recipe's phase, from 0.
        learning_rate: learning rate at the end of the epoch.
        loss: mean cross-entropy on the augmented training faces, nats.
        accuracy: accuracy on the augmented training faces, 0..1.
        seconds: time of training and validation together.
    """

    epoch: int
    phase: int
    learning_rate: float
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRecord:
    """The teacher of a distillation, and its weight in the targets.

    Attributes:
        networks: names of the teacher's networks.
        weight: weight of its probabilities in the targets, 0..1; labels have the rest.
        test_time_augmentation: views that the teacher averaged over.
        files: SHA-256 of its weights files by name, if it was loaded from files.
        teaching: ``fixed`` or ``consistent``.
    """

    networks: tuple[str, ...]
    weight: float
    test_time_augmentation: str = "none"
    files: Mapping[str, str] = field(default_factory=dict)
    teaching: Teaching = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """One data set: its number of faces, and a SHA-256 over faces and targets."""

    faces: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How a model came to be, and how good it is.

    Attributes:
        command: the command or call that made the model.
        recipe: every value of the recipe.
        seed: seed of initial weights, shuffling and augmentation.
        versions: versions of the packages that matter.
        data: data sets by their part in the run: ``training``, ``validation``.
        history: every epoch.
        evaluation: Report by name of the split.
        robustness: Robustness by name of the split.
        members: for an ensemble, the record of each network.
        ensemble_weights: for an ensemble, its fitted weights; None for the plain mean.
        calibration: the fitted temperature; None if the model is not calibrated.
        quantised: the command or call that quantised the graphs to int8; None if none did.
        started_from: SHA-256 over the weights that training started from; None for random or
            pretrained backbone weights.
        start: validation figures before training; None unless it started from a model.
        earlier_runs: the runs that made the starting weights, latest first, at most eight.
        teacher: the teacher of a distillation; None without one.
    """

    __pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # noqa: RUF012
    command: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, DataRecord] = field(default_factory=dict)
    history: tuple[EpochRecord, ...] = ()
    evaluation: Mapping[str, Report] = field(default_factory=dict)
    members: "Mapping[str, TrainingRecord]" = field(default_factory=dict)
    ensemble_weights: EnsembleWeights | None = None
    calibration: Calibration | None = None
    teacher: TeacherRecord | None = None
    started_from: str | None = None
    start: ValidationFigures | None = None
    earlier_runs: "tuple[TrainingRecord, ...]" = ()
    quantised: str | None = None
    robustness: Mapping[str, Robustness] = field(default_factory=dict)

    def with_evaluation(
        self, split: str, report: Report, robustness: Robustness | None = None
    ) -> "TrainingRecord":
        """Return the record with the figures of one split replaced or added."""
        noted = replace(self, evaluation={**self.evaluation, split: report})
        if robustness is None:
            return noted
        return replace(noted, robustness={**self.robustness, split: robustness})

    def without_figures(self) -> "TrainingRecord":
        """Return the record without figures that no longer hold once the answers change."""
        return replace(self, evaluation={}, calibration=None, robustness={})


#: The record of a model whose history is unknown.
UNKNOWN = TrainingRecord()
