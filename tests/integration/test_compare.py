"""``emonet compare`` and what ``emonet evaluate`` writes for each face."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_faces, write_fer2013
from tests.integration.conftest import Run

from emonet import EmotionRecognizer, load_dataset
from emonet.errors import ConfigError
from emonet.evaluation.report import make_report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    faces = {"Training": make_faces(1), "PublicTest": make_faces(3, seed=1)}
    return write_fer2013(tmp_path_factory.mktemp("data") / "faces.csv", faces)


def test_two_models_are_compared_on_the_same_faces(run: Run, data: Path, tmp_path: Path) -> None:
    plot = tmp_path / "difference.png"
    where = ("--data", data, "--split", "PublicTest")
    (record,) = run("compare", "tiny", "fast", *where, "--plot", plot, "--json").records
    dataset = load_dataset(data, "PublicTest")
    models = [EmotionRecognizer.from_pretrained(name) for name in ("tiny", "fast")]
    comparison = models[0].compare(models[1], dataset)
    assert record == json.loads(json.dumps({"models": ["tiny", "fast"], **comparison.to_dict()}))
    assert comparison.first == models[0].evaluate(dataset)
    assert comparison.second == models[1].evaluate(dataset)
    with Image.open(plot) as image:
        assert image.format == "PNG"
    shown = run("compare", "tiny", "tiny", *where).out
    assert "Difference +0.0000" in shown
    assert "do not show which model is more accurate" in shown


def test_models_with_other_labels_are_not_compared(data: Path) -> None:
    tiny = EmotionRecognizer.from_pretrained("tiny")
    other = EmotionRecognizer(labels=("a", "b"))
    with pytest.raises(ConfigError, match="the same labels"):
        tiny.compare(other, load_dataset(data, "PublicTest"))
    with pytest.raises(ConfigError, match="compare takes loaded recognizers"):
        tiny.compare("fast", load_dataset(data, "PublicTest"))


def test_the_predictions_of_each_face_are_written(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    plots = tmp_path / "new" / "plots"
    outcome = run(
        *("evaluate", "--model", "tiny", "--data", data, "--split", "PublicTest", "--json"),
        *("--predictions", file, "--plots", plots),
    )
    (report,) = outcome.records
    dataset = load_dataset(data, "PublicTest")
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    lines = data.read_text().splitlines()
    assert [int(lines[int(row["line"]) - 1].split(",")[0]) for row in rows] == list(dataset.classes)
    assert {row["path"] for row in rows} == {str(data)}
    labels = dataset.labels
    shares = np.array([[float(row[label]) for label in labels] for row in rows], np.float32)
    classes = np.array([labels.index(row["label"]) for row in rows])
    again = make_report(shares, classes, labels).to_dict()
    assert json.loads(json.dumps(again)) == report
    assert all(float(row[row["predicted"]]) == float(row["score"]) for row in rows)
    assert sorted(path.name for path in plots.iterdir()) == [
        *("confusion.png", "coverage.png", "reliability.png")
    ]


def test_the_faces_of_a_folder_have_their_paths(run: Run, tmp_path: Path) -> None:
    for label in ("happiness", "sadness"):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for index, face in enumerate(make_faces(1).images[:2]):
            Image.fromarray(face).save(tmp_path / "faces" / label / f"{index}.png")
    file = tmp_path / "out.csv"
    where = ("--data", tmp_path / "faces", "--split", "train")
    assert run("evaluate", "--model", "tiny", *where, "--predictions", file).status == 0
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 4
    assert all(Path(row["path"]).parent.name == row["label"] for row in rows)
    assert all(Path(row["path"]).is_file() and not row["line"] for row in rows)
