"""Make the record of a training run."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from emonet.data import FaceDataset
from emonet.model import Model
from emonet.records import (
    UNKNOWN,
    DataRecord,
    EpochRecord,
    TeacherRecord,
    TrainingRecord,
    ValidationFigures,
)
from emonet.support.versions import installed
from emonet.training.recipes import Recipe
from emonet.training.warm_start import weights_digest

#: How many earlier runs a record keeps: a model may be fine-tuned every night.
MAX_EARLIER_RUNS = 8


def make_record(
    recipe: Recipe,
    seed: int,
    train: FaceDataset,
    validation: FaceDataset,
    history: Sequence[EpochRecord],
    *,
    teacher: TeacherRecord | None = None,
    start_from: Model | None = None,
    start: ValidationFigures | None = None,
) -> TrainingRecord:
    """Return the record of a finished run.

    The targets of ``train`` are as the labels give them. The record keeps the runs of
    ``start_from``, the model that training started from; ``start`` has its validation figures.
    """
    before = UNKNOWN if start_from is None else start_from.record
    earlier = () if before == UNKNOWN else (replace(before, earlier_runs=()), *before.earlier_runs)
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
        teacher=teacher,
        started_from=None if start_from is None else weights_digest(start_from.weights),
        start=start,
        earlier_runs=earlier[:MAX_EARLIER_RUNS],
    )


def installed_versions(*more: str) -> dict[str, str]:
    """Return the versions of emonet, Keras, its backend, and the packages named."""
    from keras.config import backend

    names = ("emonet", "keras", backend(), *more)
    found = installed({name: name for name in names})
    return {package: number for package, number in found.items() if number is not None}


def data_digest(dataset: FaceDataset) -> str:
    """Return a SHA-256 over faces and targets: equal digests mean equal data."""
    digest = hashlib.sha256(dataset.images.tobytes())
    digest.update(dataset.targets.tobytes())
    return digest.hexdigest()
