"""What ``emonet predict`` writes: tables and annotated copies."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.integration.conftest import Run

import emonet
from emonet import EmotionRecognizer
from emonet.drawing import png

OPTIONS = ("--model", "tiny")


@pytest.fixture
def photos(tmp_path: Path, astronaut: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("a.jpg", "sub/a.jpg", "sub/deep/b.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(astronaut, folder / name)
    (folder / "damaged.png").write_text("not an image")
    return folder


def below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_tables_hold_what_to_pandas_returns(run: Run, photos: Path, tmp_path: Path) -> None:
    csv, parquet = tmp_path / "faces.csv", tmp_path / "faces.parquet"
    outcome = run("predict", photos, "--csv", csv, "--parquet", parquet, *OPTIONS)
    assert outcome.status == 1
    assert outcome.out == "3 faces in 3 images; 1 image failed\n"
    assert "damaged.png is not in a supported image format" in outcome.err
    expected = emonet.to_pandas(EmotionRecognizer.from_pretrained("tiny").predict(photos))
    assert len(expected) == 4
    dtypes = expected.dtypes.to_dict()
    pd.testing.assert_frame_equal(pd.read_csv(csv, dtype=dtypes), expected)
    pd.testing.assert_frame_equal(pq.read_table(parquet).to_pandas().astype(dtypes), expected)


def test_json_and_a_table_go_together(run: Run, photos: Path, tmp_path: Path) -> None:
    outcome = run("predict", photos, "--csv", tmp_path / "faces.csv", "--json", *OPTIONS)
    assert len(outcome.records) == 4
    assert len((tmp_path / "faces.csv").read_text().splitlines()) == 5


def test_an_interrupted_run_keeps_its_rows(run: Run, photos: Path, tmp_path, monkeypatch) -> None:
    whole = EmotionRecognizer.stream

    def interrupted(*arguments, **options):
        yield next(whole(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(EmotionRecognizer, "stream", interrupted)
    csv, parquet = tmp_path / "faces.csv", tmp_path / "faces.parquet"
    outcome = run("predict", photos, "--csv", csv, "--parquet", parquet, *OPTIONS)
    assert outcome.status == 130
    assert len(pd.read_csv(csv)) == len(pq.read_table(parquet)) == 1


def test_a_table_that_can_not_be_written_is_said_at_once(run: Run, photos: Path, tmp_path) -> None:
    outcome = run("predict", photos, "--csv", tmp_path / "none" / "faces.csv", *OPTIONS)
    assert outcome.status == 2
    assert "faces.csv" in outcome.err


def test_parquet_without_pyarrow_is_said_at_once(run: Run, photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = run("predict", photos, "--parquet", tmp_path / "faces.parquet", *OPTIONS)
    assert outcome.status == 2
    assert "pip install 'emonet[tables]'" in outcome.err


def test_annotated_copies_keep_their_folders(run: Run, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "marked"
    outcome = run("predict", photos, "--save-annotated", target, "--json", *OPTIONS)
    assert outcome.status == 1
    assert below(target) == ["a.png", "sub/a.png", "sub/deep/b.png"]
    # Files that are named go side by side.
    named = (photos / "a.jpg", photos / "sub" / "a.jpg")
    assert run("predict", *named, "--save-annotated", tmp_path / "flat", *OPTIONS).status == 0
    assert below(tmp_path / "flat") == ["a-2.png", "a.png"]


def test_a_copy_that_can_not_be_written_does_not_end_the_run(
    run: Run, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    (photos / "damaged.png").unlink()
    target = tmp_path / "marked"
    target.mkdir()
    (target / "sub").write_text("a file in the way of a folder")
    outcome = run("predict", photos, "--save-annotated", target, "--json", *OPTIONS)
    assert outcome.status == 1
    assert len(outcome.records) == 3
    assert outcome.err.count("No annotated copy of") == 2
    assert below(target) == ["a.png", "sub"]

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(png, "atomic_write", full)
    outcome = run("predict", photos, "--save-annotated", tmp_path / "full", "--json", *OPTIONS)
    assert outcome.status == 1
    assert outcome.err.count("No space left on device") == 3


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse the name")
def test_a_name_that_is_no_text_survives_json_and_is_told_in_tables(
    photos: Path, tmp_path: Path
) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    shutil.copy(photos / "a.jpg", os.fsdecode(name))
    csv = tmp_path / "faces.csv"
    done = subprocess.run(
        [sys.executable, "-m", "emonet", "predict", name, "--json", "--csv", csv, *OPTIONS],
        capture_output=True,
        check=True,
    )
    path = json.loads(done.stdout)["path"]
    assert os.fsencode(path) == name
    assert Path(path).is_file()
    assert b"not UTF-8" in done.stderr
    assert pd.read_csv(csv)["path"][0].endswith("caf\\udce9.jpg")
