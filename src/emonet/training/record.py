"""How a recognizer came to be: training.json of a model folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from emonet.config import RecognizerConfig
from emonet.data import FaceDataset
from emonet.evaluation.calibration import Calibration
from emonet.evaluation.report import Report
from emonet.evaluation.robustness import Robustness
from emonet.files import read_bounded
from emonet.training.distillation import Distillation, TeacherRecord
from emonet.training.ensembling import LearntWeights
from emonet.training.recipes import Recipe
from emonet.training.schedule import EpochRecord
from emonet.training.start import Learnt, weights_digest
from emonet.versions import installed

__all__ = [
    "RECORD_FILE",
    "UNKNOWN",
    "DataRecord",
    "Trained",
    "TrainingRecord",
    "data_digest",
    "installed_versions",
    "make_record",
    "merge_records",
    "read_record",
    "record_to_json",
]

RECORD_FILE = "training.json"
# Read, it takes up to eighty times the memory.
MAX_RECORD_BYTES = 4 * 2**20
# Somebody may train a model on every night.
MOST_BEFORE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """Which data: how many faces, and a SHA-256 over them and their targets."""

    faces: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """A run that was finished, and how good its outcome is.

    Attributes:
        command: what was typed, or the call.
        recipe: every value of the recipe.
        seed: of initial weights, shuffling and augmentation.
        versions: of the packages that matter.
        data: by their part in the run: ``training``, ``validation``.
        history: every epoch.
        evaluation: reports by the name of the split.
        robustness: what changes to the faces cost, likewise.
        members: of an ensemble, how each of its networks was trained.
        learnt_weights: of an ensemble, how its weights came to be; None for the plain mean.
        calibration: how the temperature came to be; None where none was learnt.
        quantised: the command or call that put its graphs into int8; None where they are not.
        started_from: SHA-256 over the weights that training started from; None where they were
            drawn, or the backbone's own.
        before: how these weights had been trained: the runs that led there, the latest first
            and each without its own ``before``, of which there are eight at most.
        teacher: who had a say in the targets; None where there were the labels alone.
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
    learnt_weights: LearntWeights | None = None
    calibration: Calibration | None = None
    teacher: TeacherRecord | None = None
    started_from: str | None = None
    before: "tuple[TrainingRecord, ...]" = ()
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
        """Return the record without what holds no longer once the recognizer answers otherwise."""
        return replace(self, evaluation={}, calibration=None, robustness={})

    def as_quantised(self) -> "TrainingRecord":
        """Return the record of the recognizer after its graphs were put into int8."""
        return replace(self.without_figures(), quantised="EmotionRecognizer.quantise")

    def as_float32(self) -> "TrainingRecord":
        """Return the record of the recognizer without such graphs."""
        return replace(self.without_figures(), quantised=None)


#: The record of a recognizer of which nothing is known.
UNKNOWN = TrainingRecord()


class Trained(Learnt, Protocol):
    """What has learnt, and how: a recognizer."""

    @property
    def training(self) -> TrainingRecord:
        """Its record."""
        ...


def make_record(
    recipe: Recipe,
    seed: int,
    train: FaceDataset,
    validation: FaceDataset,
    history: Sequence[EpochRecord],
    distillation: Distillation | None = None,
    start_from: Trained | None = None,
) -> TrainingRecord:
    """Write down a finished run; ``evaluation`` is filled in by whoever evaluates it.

    Args:
        recipe: how it was trained.
        seed: of the run.
        train: what it learnt from, with the labels' targets and not a teacher's.
        validation: what chose the epoch.
        history: every epoch.
        distillation: the teacher, if there was one.
        start_from: whose weights it started from; the record keeps that one's runs as well.
    """
    before = UNKNOWN if start_from is None else start_from.training
    earlier = () if before == UNKNOWN else (replace(before, before=()), *before.before)
    return TrainingRecord(
        command="EmotionRecognizer.fit",
        recipe=json.loads(json.dumps(asdict(recipe))),
        seed=seed,
        versions=installed_versions("numpy"),
        data={
            name: DataRecord(faces=len(dataset), sha256=data_digest(dataset))
            for name, dataset in (("training", train), ("validation", validation))
        },
        history=tuple(history),
        teacher=None if distillation is None else distillation.describe(),
        started_from=None if start_from is None else weights_digest(start_from.weights),
        before=earlier[:MOST_BEFORE],
    )


def installed_versions(*more: str) -> dict[str, str]:
    """Return the versions of the packages that training depends on, and of more."""
    from keras.config import backend

    names = ("emonet", "keras", backend(), *more)
    found = installed({name: name for name in names})
    return {package: number for package, number in found.items() if number is not None}


def merge_records(
    config: RecognizerConfig, members: Sequence[tuple[RecognizerConfig, TrainingRecord]]
) -> TrainingRecord:
    """Return the record of an ensemble: those of its networks, under their names in it."""
    records: list[TrainingRecord] = []
    for member, record in members:
        if len(member.networks) == 1:
            records.append(record)
        else:
            records.extend(record.members.get(part.name, UNKNOWN) for part in member.networks)
    names = [network.name for network in config.networks]
    known = {name: own for name, own in zip(names, records, strict=True) if own != UNKNOWN}
    return TrainingRecord(command="EmotionRecognizer.ensemble", members=known)


def data_digest(dataset: FaceDataset) -> str:
    """Return a SHA-256 over faces and targets: equal digests are equal data."""
    digest = hashlib.sha256(dataset.images.tobytes())
    digest.update(dataset.targets.tobytes())
    return digest.hexdigest()


def record_to_json(record: TrainingRecord) -> str | None:
    """Return the text of training.json; None where nothing is known: there is to be none."""
    return None if record == UNKNOWN else json.dumps(asdict(record), indent=1) + "\n"


def read_record(path: Path) -> TrainingRecord | None:
    """Read a training.json; None where there is none that can be read.

    It informs people and nothing depends on it, so a damaged one does not stop anybody.
    """
    try:
        data = read_bounded(path, MAX_RECORD_BYTES) if path.is_file() else None
        record: TrainingRecord = _adapter().validate_json(data or b"")
    except (OSError, ValueError):
        return None
    return record


@cache
def _adapter() -> Any:
    """Return pydantic's reader of a record, which takes longer to make than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(TrainingRecord)
