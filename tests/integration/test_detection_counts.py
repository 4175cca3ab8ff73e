"""The benchmark that counts found and false faces."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.detection import CHANGES, _scores, detection

from emonet.errors import InputError
from emonet.results import Box, Detection


def test_the_face_of_the_sample_is_counted(
    astronaut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.detection.DETECTORS", {"yunet": {"name": "yunet"}})
    with pytest.raises(InputError, match=r"faces\.json"):
        detection(tmp_path)
    shutil.copy(astronaut, tmp_path / "photo.jpg")
    (tmp_path / "faces.json").write_text(json.dumps({"photo.jpg": [[138, 75, 95, 95]]}))
    counts = detection(tmp_path)
    assert (counts["photos"], counts["faces"]) == (1, 1)
    assert [(row["found"], row["false"]) for row in counts["thresholds"][:5]] == [(1, 0)] * 5
    rows = {row["change"]: row for row in counts["changes"]}
    assert rows.keys() == CHANGES.keys()
    for change in ("unchanged", "rolled by 15 degrees", "one face fills 800 pixels"):
        assert rows[change]["yunet"] == {"found": 1, "false": 0}, change


def test_each_annotated_face_is_found_once() -> None:
    boxes = np.array([[0, 0, 40, 40], [100, 0, 40, 40]], float)
    found = [
        Detection(Box(2, 2, 40, 40), 0.9),
        Detection(Box(4, 4, 40, 40), 0.8),
        Detection(Box(150, 0, 40, 40), 0.7),
    ]
    assert _scores(found, boxes) == ([0.9], [0.8, 0.7])
    assert _scores(found, np.empty((0, 4))) == ([], [0.9, 0.8, 0.7])
