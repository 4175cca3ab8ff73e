"""How a recognizer came to be: training.json of a model folder."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emonet.data import FaceDataset
from emonet.training.recipes import Recipe
from emonet.training.schedule import EpochRecord

__all__ = [
    "TrainingRecord",
    "data_digest",
    "make_record",
    "read_record",
    "record_to_json",
    "with_evaluation",
]

RECORD_FILE = "training.json"

#: Plain JSON values: command, recipe, seed, versions, data, history, evaluation.
TrainingRecord = Mapping[str, Any]


def make_record(
    command: str | None,
    recipe: Recipe,
    seed: int,
    train: FaceDataset,
    validation: FaceDataset,
    history: Sequence[EpochRecord],
) -> TrainingRecord:
    """Write down a finished run; ``evaluation`` is filled in by whoever evaluates it."""
    return {
        "command": command or "EmotionRecognizer.fit",
        "recipe": asdict(recipe),
        "seed": seed,
        "versions": {name: version(name) for name in ("emonet", "keras", "tensorflow", "numpy")},
        "data": {
            name: {"faces": len(dataset), "sha256": data_digest(dataset)}
            for name, dataset in (("training", train), ("validation", validation))
        },
        "history": [asdict(record) for record in history],
        "evaluation": {},
    }


def with_evaluation(
    record: TrainingRecord | None, split: str, figures: Mapping[str, Any]
) -> TrainingRecord:
    """Return the record with the figures of one split replaced or added."""
    known = {} if record is None else record.get("evaluation", {})
    return {**(record or {}), "evaluation": {**known, split: figures}}


def data_digest(dataset: FaceDataset) -> str:
    """Return a SHA-256 over faces and targets: equal digests are equal data."""
    digest = hashlib.sha256(dataset.images.tobytes())
    digest.update(dataset.targets.tobytes())
    return digest.hexdigest()


def record_to_json(record: TrainingRecord) -> str:
    """Return the text of training.json."""
    return json.dumps(record, indent=1) + "\n"


def read_record(folder: Path) -> TrainingRecord | None:
    """Read a model folder's training.json; None where there is none that can be read.

    It informs people and nothing depends on it, so a damaged one does not stop anybody.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
