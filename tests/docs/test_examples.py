"""The examples do what they say."""

import csv
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import make_faces

from emonet import sample_photo

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(monkeypatch):
    """Run a script as Python would run it with these arguments."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")

    return run


def rows(file):
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_folder_becomes_a_table(run, tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / "below").mkdir(parents=True)
    shutil.copy(sample_photo(), photos / "below" / "sample.JPG")
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("no picture either")
    run("folder_to_csv.py", photos, tmp_path / "faces.csv")
    row, failed = rows(tmp_path / "faces.csv")
    assert (row["label"], Path(row["path"]).name) == ("happiness", "sample.JPG")
    assert float(row["score"]) == float(row["happiness"]) > 0.5
    assert "broken.jpg" in failed["error"]
    output = capsys.readouterr().out
    assert "failed: " in output
    assert "1 faces in 2 images" in output

    run("folder_to_csv.py", photos, tmp_path / "sure.csv", "--min-score", 1)
    assert [row["label"] for row in rows(tmp_path / "sure.csv")] == ["", ""]


@pytest.fixture
def custom_backbone(tmp_path, monkeypatch, fresh_catalog):
    """Install the backbone in one file as pip would."""
    example, packages = EXAMPLES / "custom-backbone", tmp_path / "packages"
    project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
    info = packages / "emonet_plain_cnn-0.1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(example / "emonet_plain_cnn.py", packages)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    ((name, module),) = project["entry-points"]["emonet"].items()
    (info / "entry_points.txt").write_text(f"[emonet]\n{name} = {module}\n")
    monkeypatch.syspath_prepend(packages)
    yield name
    sys.modules.pop(module, None)


def test_a_folder_teaches_the_backbone_in_one_file(run, tmp_path, capsys, custom_backbone):
    for split, count, seed in (("train", 3, 0), ("validation", 1, 1), ("test", 2, 2)):
        faces = make_faces(count, seed=seed)
        for number, (face, kind) in enumerate(zip(faces.images, faces.classes, strict=True)):
            folder = tmp_path / "faces" / split / faces.labels[kind]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(face).save(folder / f"{number}.png")
    backbone = ("--backbone", custom_backbone, "--width", 4)
    run("train_on_folder.py", tmp_path / "faces", tmp_path / "model", "--epochs", 1, *backbone)
    output = capsys.readouterr().out
    assert "accuracy" in output
    assert "happiness" in output

    from emonet import EmotionRecognizer

    recognizer = EmotionRecognizer.from_pretrained(str(tmp_path / "model"))
    assert recognizer.record.evaluation["test"].n == 14
    assert len(recognizer.record.history) == 1
    assert not (tmp_path / "model" / "checkpoints").exists()


def test_the_backbone_in_one_file_keeps_the_contract(custom_backbone):
    import emonet
    from emonet.errors import ConfigError
    from emonet.testing import backbone_checks

    assert custom_backbone in emonet.list_backbones()
    for check in backbone_checks(custom_backbone, width=4):
        check()
    with pytest.raises(ConfigError, match="plain_cnn: width"):
        emonet.create_backbone(custom_backbone, width=0)
