"""Figures of the bundled model in the documentation are those of its training record."""

import json
import re
from pathlib import Path

import pytest

import emonet
from emonet.storage.sources import bundled_models

ROOT = Path(__file__).parents[2]
MODELS = Path(emonet.__file__).parent / "models"
REPORTS = {
    name: json.loads((MODELS / name / "training.json").read_text())["evaluation"]["PublicTest"]
    for name in bundled_models()
}
REPORT = REPORTS["default"]
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


@pytest.mark.parametrize("model", REPORTS)
@pytest.mark.parametrize(
    "page", ["README.md", "docs/index.md", "docs/explanation/bundled-model.md"]
)
def test_every_models_accuracy_is_that_of_its_record(page, model):
    assert f"{100 * REPORTS[model]['accuracy']:.2f} %" in (ROOT / page).read_text()


@pytest.mark.parametrize("label", REPORT["per_class"])
def test_figures_by_class_are_those_of_the_record(label):
    text = (ROOT / "docs" / "explanation" / "limits.md").read_text()
    ((recall, precision),) = re.findall(rf"^\| {label} \| (\d+) % \| (\d+) % \|$", text, re.M)
    figures = REPORT["per_class"][label]
    assert (int(recall), int(precision)) == (
        round(100 * figures["recall"]),
        round(100 * figures["precision"]),
    )
