"""Convert training records to the text of training.json and back."""

import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from emonet.records import UNKNOWN, TrainingRecord
from emonet.support.files import read_bounded

RECORD_FILE = "training.json"
# A record takes up to 80 times the size of its file in memory.
MAX_RECORD_BYTES = 4 * 2**20


def record_to_json(record: TrainingRecord) -> str | None:
    """Return the text of training.json; None for an unknown history, which has no file."""
    return None if record == UNKNOWN else json.dumps(asdict(record), indent=1) + "\n"


def read_record(path: Path) -> TrainingRecord | None:
    """Read a training.json; return None if it is missing or can't be read.

    A record only informs people, so a damaged one never stops a model from loading.
    """
    try:
        data = read_bounded(path, MAX_RECORD_BYTES) if path.is_file() else None
        record: TrainingRecord = _adapter().validate_json(data or b"")
    except (OSError, ValueError):
        return None
    return record


@cache
def _adapter() -> Any:
    """Return pydantic's reader of records, which is slow to build and quick to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(TrainingRecord)
