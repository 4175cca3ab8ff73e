"""Figures of the bundled model in the documentation are those of its training record."""

import json
import re
from pathlib import Path

import pytest

import emonet

ROOT = Path(__file__).parents[2]
RECORD = Path(emonet.__file__).parent / "models" / "default" / "training.json"
REPORT = json.loads(RECORD.read_text())["evaluation"]["PublicTest"]
PAGES = [
    "README.md",
    "docs/index.md",
    "docs/explanation/bundled-model.md",
    "docs/how-to/from-deepface.md",
    "docs/how-to/from-fer.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_the_accuracy_is_that_of_the_record(page):
    assert f"{100 * REPORT['accuracy']:.2f} %" in (ROOT / page).read_text()


@pytest.mark.parametrize("label", REPORT["per_class"])
def test_figures_by_class_are_those_of_the_record(label):
    text = (ROOT / "docs" / "explanation" / "limits.md").read_text()
    ((recall, precision),) = re.findall(rf"^\| {label} \| (\d+) % \| (\d+) % \|$", text, re.M)
    figures = REPORT["per_class"][label]
    assert (int(recall), int(precision)) == (
        round(100 * figures["recall"]),
        round(100 * figures["precision"]),
    )
