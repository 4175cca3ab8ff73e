"""Figures of models on the command line: robustness, what is noted, and the bundled models."""

import json
import shutil
from pathlib import Path

import pytest
from tests.integration.conftest import Run

from emonet import EmotionRecognizer, load_dataset
from emonet.evaluation.robustness import CHANGES
from emonet.storage.sources import bundled_models


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def test_robustness_is_measured_told_and_noted(run: Run, folder: Path, fer2013_csv: Path) -> None:
    evaluate = ("evaluate", "--data", fer2013_csv, "--split", "test", "--model", folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    (figures,) = run(*evaluate, "--robustness", "--json").records
    costs = figures.pop("robustness")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert costs["unchanged"] == figures["accuracy"]
    assert list(costs["changed"]) == list(CHANGES)
    recognizer, dataset = (
        EmotionRecognizer.from_pretrained(folder),
        load_dataset(fer2013_csv, "test"),
    )
    darker = (CHANGES["half the brightness"](dataset.images), dataset.classes)
    half = costs["changed"]["half the brightness"]
    assert half["accuracy"] == recognizer.evaluate(darker).accuracy
    assert half["drop"] == pytest.approx(100 * (costs["unchanged"] - half["accuracy"]))

    table = run(*evaluate, "--robustness", "--note")
    assert table.status == 0
    assert "JPEG quality 30" in table.out
    noted = EmotionRecognizer.from_pretrained(folder).record
    assert noted.evaluation["PrivateTest"].accuracy == figures["accuracy"]
    assert noted.robustness["PrivateTest"].to_dict() == costs
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {
        "README.md",
        "training.json",
    }
    card = after["README.md"].decode()
    assert "## Robustness" in card
    assert f"| half the brightness | {100 * half['accuracy']:.2f} % | {half['drop']:.2f} |" in card


def test_only_the_figures_of_a_folder_as_it_is_are_noted(
    run: Run, folder: Path, fer2013_csv: Path
) -> None:
    evaluate = ("evaluate", "--data", fer2013_csv, "--split", "test", "--note")
    for model, options, part in (
        ("default", (), "Only a model folder can be changed"),
        (
            folder,
            ("--test-time-augmentation", "horizontal_flip"),
            "leave out --test-time-augmentation",
        ),
    ):
        outcome = run(*evaluate, "--model", model, *options)
        assert (outcome.status, outcome.out) == (2, "")
        assert part in outcome.err
    assert run(*evaluate, "--model", folder, "--test-time-augmentation", "none").status == 0


def test_bundled_models_are_listed(run: Run) -> None:
    (rows,) = (json.loads(run("models", "--no-speed", "--json").out),)
    assert [row["name"] for row in rows] == bundled_models()
    default = next(row for row in rows if row["name"] == "default")
    recognizer = EmotionRecognizer.from_pretrained()
    assert default["networks"] == [network.name for network in recognizer.config.networks]
    assert default["parameters"] > 1e6
    # float16: two bytes each, and a header.
    assert 2 * default["parameters"] < default["weights_bytes"] < 2.1 * default["parameters"]
    assert default["test_time_augmentation"] == recognizer.config.test_time_augmentation
    assert default["accuracy"] == recognizer.record.evaluation["PublicTest"].accuracy
    assert default["faces_per_second"] is None


def test_their_speed_is_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emonet.cli.models.bundled_models", lambda: ["default"])
    ((row,),) = (json.loads(run("models", "--json").out),)
    assert row["faces_per_second"] > 1
    table = run("models", "--no-speed")
    assert "default" in table.out
    assert "faces/s" not in table.out
