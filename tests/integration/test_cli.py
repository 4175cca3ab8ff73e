"""The command line: what it prints where, and its exit status."""

import csv
import json
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image
from tests.conftest import make_faces, write_fer2013, write_votes
from tests.integration.conftest import Outcome, Run

import emonet
from emonet import EmotionRecognizer, FaceDataset, ImageResult, load_dataset
from emonet.cli.app import app
from emonet.cli.options import typed_command
from emonet.errors import InputError
from emonet.labels import FER2013
from emonet.model import Model
from emonet.records import Report, TrainingRecord
from emonet.storage.record_json import read_record, record_to_json
from emonet.storage.update import update_model
from emonet.training.record import data_digest


def assert_refused(outcome: Outcome, *parts: str) -> None:
    """Exit status 2, and one sentence that has these parts."""
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("emonet: ")
    assert outcome.err.count("\n") == 1
    for part in parts:
        assert part in outcome.err


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Drawn faces as files: one/face.png, one/other.jpg, two/face.png and a text file."""
    faces = iter(make_faces(1, seed=4, size=96).images)
    for name in ("one/face.png", "one/other.jpg", "two/face.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(next(faces)).save(path)
    (tmp_path / "photos" / "one" / "notes.txt").write_text("not an image")
    return tmp_path / "photos"


def assert_faces_schema(record: dict[str, Any]) -> None:
    assert list(record) == ["path", "width", "height", "faces"]
    for face in record["faces"]:
        assert list(face) == ["box", "label", "score", "probabilities"]
        assert all(type(value) is int for value in face["box"])
        x, y, width, height = face["box"]
        assert min(x, y) >= 0
        assert min(width, height) >= 1
        assert x + width <= record["width"]
        assert y + height <= record["height"]
        assert list(face["probabilities"]) == list(FER2013)
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert face["score"] == max(face["probabilities"].values())
        assert face["probabilities"][face["label"]] == face["score"]


def test_json_of_a_photo_is_all_that_the_process_prints(
    run_process: Run, tiny_folder: Path, astronaut: Path
) -> None:
    outcome = run_process("predict", astronaut, "--model", tiny_folder, "--json")
    assert outcome.status == 0
    assert outcome.err == ""
    (record,) = outcome.records
    assert_faces_schema(record)
    assert (record["path"], record["width"], record["height"]) == (str(astronaut), 400, 400)
    assert len(record["faces"]) == 1
    assert (
        record == EmotionRecognizer.from_pretrained(tiny_folder).predict(str(astronaut)).to_dict()
    )


def test_the_table_shows_each_face(run: Run, tiny_folder: Path, astronaut: Path) -> None:
    outcome = run("predict", astronaut, "--model", tiny_folder)
    assert (outcome.status, outcome.err) == (0, "")
    face = EmotionRecognizer.from_pretrained(tiny_folder).predict(astronaut).faces[0].to_dict()
    box = ", ".join(map(str, face["box"]))
    row = next(line for line in outcome.out.splitlines() if box in line)
    assert box in row
    assert face["label"] in row
    assert f"{100 * face['score']:.0f} %" in row


def test_several_views_of_each_face_are_an_option(
    run: Run, tiny_folder: Path, astronaut: Path
) -> None:
    command = ("predict", astronaut, "--model", tiny_folder, "--json")
    (record,) = run(*command, "--test-time-augmentation", "horizontal_flip").records
    whole = EmotionRecognizer.from_pretrained(tiny_folder)
    whole = whole.with_test_time_augmentation("horizontal_flip")
    assert record == whole.predict(str(astronaut)).to_dict()
    assert record != run(*command).records[0]


@pytest.mark.parametrize(
    ("text", "prior"),
    [
        ("balanced", "balanced"),
        (
            "anger=1, disgust=2,fear=1,happiness=1,sadness=1,surprise=1,neutral=3",
            dict(zip(FER2013, (1, 2, 1, 1, 1, 1, 3), strict=True)),
        ),
    ],
)
def test_a_class_prior_is_an_option(
    run: Run, astronaut: Path, text: str, prior: str | dict[str, float]
) -> None:
    command = ("predict", astronaut, "--model", "tiny", "--json")
    (told,) = run(*command, "--prior", text, "--prior-strength", "0.5").records
    recognizer = EmotionRecognizer.from_pretrained("tiny")
    expected = recognizer.with_prior(prior, strength=0.5).predict(astronaut).to_dict()
    assert told["faces"][0]["probabilities"] == pytest.approx(expected["faces"][0]["probabilities"])
    assert told["faces"] != recognizer.predict(astronaut).to_dict()["faces"]


def test_files_folders_and_patterns_are_each_done_once_and_in_order(
    run: Run, tiny_folder: Path, photos: Path
) -> None:
    outcome = run(
        *("predict", photos / "two" / "face.png", photos, photos / "*" / "*.jpg"),
        *("--model", tiny_folder, "--detector", "whole_image", "--json"),
    )
    assert (outcome.status, outcome.err) == (0, "")
    assert [record["path"] for record in outcome.records] == [
        str(photos / name) for name in ("two/face.png", "one/face.png", "one/other.jpg")
    ]
    for record in outcome.records:
        assert_faces_schema(record)
        assert [face["box"] for face in record["faces"]] == [[0, 0, 96, 96]]


def test_an_unreadable_image_does_not_stop_the_others(
    run: Run, tiny_folder: Path, photos: Path
) -> None:
    notes, missing = photos / "one" / "notes.txt", photos / "missing.png"
    images = [photos / "one" / "face.png", notes, missing, photos / "two" / "face.png"]
    arguments = ("predict", *images, "--model", tiny_folder, "--detector", "whole_image")
    outcome = run(*arguments, "--json")
    assert outcome.status == 1
    assert [record["path"] for record in outcome.records] == list(map(str, images))
    assert [set(record) for record in outcome.records[1:3]] == [{"path", "error"}] * 2
    assert str(notes) in outcome.records[1]["error"]
    assert str(missing) in outcome.records[2]["error"]
    for record in (outcome.records[0], outcome.records[3]):
        assert len(record["faces"]) == 1

    table = run(*arguments)
    assert table.status == 1
    assert "error: " in table.out
    assert "Traceback" not in table.out + table.err


def test_an_image_without_a_face_is_no_error(run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), "grey").save(tmp_path / "wall.png")
    arguments = ("predict", tmp_path / "wall.png", "--model", tiny_folder)
    outcome = run(*arguments, "--json")
    assert outcome.status == 0
    assert outcome.records == [
        {"path": str(tmp_path / "wall.png"), "width": 200, "height": 100, "faces": []}
    ]
    table = run(*arguments)
    assert table.status == 0
    assert "no face" in table.out


def test_annotated_copies_show_the_faces_and_keep_apart(
    run: Run, tiny_folder: Path, photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "new" / "annotated"
    outcome = run(
        *("predict", photos, photos / "one" / "notes.txt", "--save-annotated", target, "--json"),
        *("--model", tiny_folder, "--detector", "whole_image"),
    )
    assert outcome.status == 1
    assert len(outcome.records) == 4
    copies = [str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()]
    assert sorted(copies) == ["one/face.png", "one/other.png", "two/face.png"]
    for copy in ("one/face.png", "two/face.png"):
        with Image.open(target / copy) as image, Image.open(photos / copy) as before:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", before.size)
            grey = np.asarray(before.convert("RGB"))
            marked = (np.asarray(image) != grey).any(axis=2)
        # The box's outline, here the image's edge, and the label, and nothing else.
        assert 0.02 < marked.mean() < 0.5
        assert marked[:, -1].all()
        assert marked[-1].mean() > 0.5


def test_what_was_done_before_an_interruption_is_shown(
    run: Run, tiny_folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EmotionRecognizer.stream

    def interrupted(*arguments: Any, **options: Any) -> Iterator[ImageResult]:
        yield next(whole(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(EmotionRecognizer, "stream", interrupted)
    outcome = run("predict", photos, "--model", tiny_folder, "--detector", "whole_image")
    assert (outcome.status, outcome.err) == (130, "emonet: interrupted\n")
    assert outcome.out.count(".png") == 1


def test_version_is_told(run: Run) -> None:
    outcome = run("--version")
    assert (outcome.status, outcome.out) == (0, f"emonet {version('emonet')}\n")
    assert emonet.__version__ == version("emonet")


def test_annotated_copies_need_a_folder(
    run: Run, tiny_folder: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    outcome = run(
        *("predict", photos, "--save-annotated", tmp_path / "taken"),
        *("--model", tiny_folder, "--detector", "whole_image"),
    )
    assert_refused(outcome, str(tmp_path / "taken"))


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["{tmp}"], ["{tmp}", "no images"]),
        (["{tmp}/*.png"], ["No file matches {tmp}/*.png"]),
        (["{photo}", "--model", "/no/such/model"], ["No model '/no/such/model'"]),
        (["{photo}", "--model", "{tmp}"], ["{tmp}", "config.json"]),
        (["{photo}", "--prior", "uniform"], ["'balanced', 'training' or a share"]),
        (["{photo}", "--prior", "anger=many"], ["LABEL=SHARE", "'anger=many'"]),
        (["{photo}", "--prior", "anger=1"], ["a share for each of anger, disgust"]),
        (["{photo}", "--prior", "balanced", "--prior-strength", "2"], ["strength", "0..1"]),
        (["{photo}", "--detector", "dlib_hgo"], ["'dlib_hgo'", "Did you mean 'dlib_hog'?"]),
        (["{photo}", "--detector-option", "upsampel=2"], ["Did you mean 'upsample'?"]),
        (["{photo}", "--detector-option", "upsample=many"], ["upsample", "'many'"]),
        (["{photo}", "--detector-option", "upsample"], ["KEY=VALUE", "'upsample'"]),
    ],
    ids=[
        *("folder", "glob", "model", "no model", "prior", "share", "shares", "strength"),
        *("detector", "setting", "value", "no value"),
    ],
)
def test_predict_refuses_in_one_sentence(
    run: Run,
    tiny_folder: Path,
    astronaut: Path,
    tmp_path: Path,
    arguments: list[str],
    parts: list[str],
) -> None:
    names = {"tmp": tmp_path, "photo": astronaut}
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(tiny_folder)]
    outcome = run("predict", *(argument.format(**names) for argument in arguments))
    assert_refused(outcome, *(part.format(**names) for part in parts))


def test_debug_shows_the_traceback(run_process: Run) -> None:
    plain = run_process("predict", "nothing*.png")
    assert_refused(plain, "No file matches nothing*.png")
    debugged = run_process("--debug", "predict", "nothing*.png")
    assert debugged.status != 0
    assert "Traceback (most recent call last)" in debugged.err
    assert "No file matches nothing*.png" in debugged.err


def test_debug_raises_what_went_wrong(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images"):
        run("--debug", "predict", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], ""),
        (["--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["predict"], "PATHS"),
        (["predict", "a.png", "--jsn"], "--jsn"),
        (["predict", "a.png", "--model"], "--model"),
        (["evaluate", "--split", "test"], "--data"),
        (["evaluate", "--data", "a.csv"], "--split"),
        (["train", "--data", "a.csv"], "--out"),
        (["train", "--data", "a.csv", "--out", "b", "--epochs", "many"], "--epochs"),
        (["train", "--data", "a.csv", "--out", "b", "--precision", "half"], "'half'"),
        (["plugins", "surplus"], "surplus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_refused_in_one_sentence(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(*arguments)
    assert "Traceback" not in outcome.err
    assert_refused(outcome, part)


COMMANDS = sorted(typer.main.get_command(app).commands)


def test_help_lists_the_commands(run_process: Run) -> None:
    outcome = run_process("--help")
    assert (outcome.status, outcome.err) == (0, "")
    for command in COMMANDS:
        assert any(line.split()[:1] == [command] for line in outcome.out.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"emonet {command}" in outcome.out


def test_evaluate_prints_what_the_recognizer_reports(
    run: Run, tiny_folder: Path, fer2013_csv: Path
) -> None:
    arguments = ("evaluate", "--data", fer2013_csv, "--split", "test", "--model", tiny_folder)
    outcome = run(*arguments, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    (figures,) = outcome.records
    assert list(figures) == [
        "n",
        "accuracy",
        "accuracy_interval_95",
        "macro_f1",
        "per_class",
        "confusion",
        "log_loss",
        "ece",
    ]
    assert list(figures["per_class"]) == list(FER2013)
    for row in figures["per_class"].values():
        assert list(row) == ["precision", "recall", "f1", "support"]
    recognizer = EmotionRecognizer.from_pretrained(tiny_folder)
    report = recognizer.evaluate(load_dataset(fer2013_csv, "PrivateTest"))
    assert figures == json.loads(json.dumps(report.to_dict()))
    assert figures["n"] == 28

    table = run(*arguments)
    assert (table.status, table.err) == (0, "")
    assert f"accuracy {report.accuracy:.4f}" in table.out
    assert all(label in table.out for label in FER2013)


@pytest.mark.parametrize(
    ("data", "split", "parts"),
    [
        ("{csv}", "holdout", ["'holdout'", "PrivateTest"]),
        ("{tmp}/missing.csv", "test", ["{tmp}/missing.csv"]),
        ("{tmp}", "test", ["{tmp}"]),
        ("{tmp}/bad.csv", "test", ["{tmp}/bad.csv, line 2"]),
    ],
    ids=["split", "missing", "folder", "malformed"],
)
def test_evaluate_refuses_in_one_sentence(
    run: Run,
    tiny_folder: Path,
    fer2013_csv: Path,
    tmp_path: Path,
    data: str,
    split: str,
    parts: list[str],
) -> None:
    (tmp_path / "bad.csv").write_text("emotion,pixels,Usage\n7,1 2 3,PrivateTest\n")
    names = {"csv": fer2013_csv, "tmp": tmp_path}
    outcome = run(
        "evaluate", "--data", data.format(**names), "--split", split, "--model", tiny_folder
    )
    assert_refused(outcome, *(part.format(**names) for part in parts))


#: What folders call FER-2013's classes, in their order.
FOLDERS = ("Angry", "disgust", "Fear", "happy", "sad", "Surprised", "neutral")


def write_images(folder: Path, per_class: int) -> Path:
    dataset = make_faces(per_class)
    for index, (face, kind) in enumerate(zip(dataset.images, dataset.classes, strict=True)):
        path = folder / FOLDERS[kind] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face).save(path)
    return folder


TRAIN = ("--backbone-option", "width=4", "--detector", "whole_image", "--epochs", "1")


def test_a_folder_without_validation_images_has_a_tenth_held_out(run: Run, tmp_path: Path) -> None:
    data, out = write_images(tmp_path / "images", per_class=21), tmp_path / "out"
    outcome = run("train", "--data", data, "--out", out, *TRAIN)
    assert (outcome.status, outcome.out) == (0, "")
    assert "Holding out a tenth" in outcome.err
    loaded = EmotionRecognizer.from_pretrained(out)
    assert loaded.labels == FER2013
    assert loaded.record.data["training"].faces == 132
    assert loaded.record.data["validation"].faces == 15
    assert loaded.record.evaluation == {}
    assert not (out / "checkpoints").exists()


def test_figures_of_a_folder_bear_its_own_names(run: Run, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_images(tmp_path / "own" / split, per_class=2)
    data, out = ("--data", tmp_path / "own"), tmp_path / "out"
    assert run("train", *data, "--out", out, *TRAIN).status == 0
    assert run("evaluate", *data, "--model", out, "--split", "PrivateTest", "--note").status == 0
    figures = EmotionRecognizer.from_pretrained(out).record.evaluation
    assert figures.keys() == {"validation", "test"}
    assert "PublicTest" not in (out / "README.md").read_text()


def test_a_photo_of_a_phone_is_named_and_not_passed_over(
    run: Run, tiny_folder: Path, photos: Path
) -> None:
    (photos / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    outcome = run("predict", photos, "--model", tiny_folder, "--detector", "whole_image", "--json")
    assert outcome.status == 1
    (failed,) = [record for record in outcome.records if "error" in record]
    assert failed["path"].endswith("IMG_1.HEIC")
    assert "pillow-heif" in failed["error"]


def test_keras_predicts_without_a_word_of_tensorflows(
    run_process: Run, tiny_folder: Path, astronaut: Path
) -> None:
    predict = ("predict", astronaut, "--model", tiny_folder, "--json")
    with_keras = run_process(*predict, "--runtime", "keras")
    assert (with_keras.status, with_keras.err) == (0, "")
    (face,) = with_keras.records[0]["faces"]
    (expected,) = run_process(*predict).records[0]["faces"]
    assert face["label"] == expected["label"]
    assert face["score"] == pytest.approx(expected["score"], abs=1e-4)


def test_train_takes_every_choice(run: Run, fer2013_csv: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    with fer2013_csv.open() as file:
        rows = list(csv.DictReader(file))
    counts = ({FER2013[int(row["emotion"])]: 6, "neutral": 4} for row in rows)
    votes = write_votes(tmp_path / "votes.csv", counts, [row["Usage"] for row in rows])
    outcome = run(
        *("train", "--data", fer2013_csv, "--out", out, *TRAIN, "--ferplus", votes),
        *("--ferplus-weight", 0.5),
        *("--subtract-mean-face", "--dtype", "float16", "--precision", "bfloat16"),
        *("--license", "mit"),
        *("--features", "bovw", "--feature-option", "bovw.landmarks=false"),
        *("--feature-cache", cache),
    )
    assert outcome.status == 0, outcome.err
    trained = EmotionRecognizer.from_pretrained(out)
    (network,) = trained.config.networks
    assert network.subtract_mean_face
    (arrays,) = trained.weights.values()
    assert {array.dtype.name for array in arrays.values()} <= {"float16", "int64", "int32"}
    assert trained.record.recipe["precision"] == "bfloat16"
    assert list(cache.iterdir())
    half_votes = load_dataset(fer2013_csv, "Training", ferplus=votes, ferplus_weight=0.5)
    assert trained.record.data["training"].sha256 == data_digest(half_votes)


def test_a_feature_extractor_takes_settings(run: Run, fer2013_csv: Path, tmp_path: Path) -> None:
    bovw = ("--features", "bovw", "--feature-option", "bovw.landmarks=false")
    outcome = run("train", "--data", fer2013_csv, "--out", tmp_path / "out", *TRAIN, *bovw)
    assert outcome.status == 0, outcome.err
    (network,) = EmotionRecognizer.from_pretrained(tmp_path / "out").config.networks
    (features,) = network.features
    assert (features.config["landmarks"], features.config["hog"]) == (False, True)


def test_a_validation_folder_that_is_broken_is_not_passed_over(run: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "images" / "train", per_class=10)
    (tmp_path / "images" / "validation" / "Angry").mkdir(parents=True)
    outcome = run("train", "--data", tmp_path / "images", "--out", tmp_path / "out", *TRAIN)
    assert_refused(outcome, "validation/Angry", "no images")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--recipe", "scrach"], "Did you mean 'scratch'?"),
        (["--backbone", "resnet"], "'resnet'"),
        (["--backbone-option", "widht=4"], "Did you mean 'width'?"),
        (["--features", "bow"], "Did you mean 'bovw'?"),
        (["--feature-option", "bovw.landmarks=false"], "none were given"),
        (["--features", "bovw", "--feature-option", "landmarks=false"], "NAME.KEY=VALUE"),
        (["--features", "bovw", "--feature-option", "bovw.landmark=0"], "Did you mean 'landmarks'"),
        (["--recipe", "paper", "--epochs", "1"], "2 phases"),
        (["--dtype", "float8"], "float8"),
        (["--ferplus", "/no/such/votes.csv"], "/no/such/votes.csv"),
        (["--ferplus-weight", "1.5"], "ferplus_weight must be a number in 0..1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_train_refuses_before_it_trains(
    run: Run, fer2013_csv: Path, tmp_path: Path, options: list[str], part: str
) -> None:
    out = tmp_path / "out"
    assert_refused(run("train", "--data", fer2013_csv, "--out", out, *TRAIN, *options), part)
    assert not list(out.glob("*"))


def test_train_needs_a_folder_to_write_to(run: Run, fer2013_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    outcome = run("train", "--data", fer2013_csv, "--out", tmp_path / "taken", *TRAIN)
    assert_refused(outcome, str(tmp_path / "taken"))


def test_figures_are_noted_for_the_folder_and_not_for_the_bundled_model_of_its_name(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = shutil.copytree(tiny_folder, tmp_path / "fast")
    command = EmotionRecognizer.from_pretrained(mine).record.command
    options = ("--data", fer2013_csv, "--split", "PublicTest", "--note", "--json")
    (told,) = run("evaluate", "--model", "fast", *options).records
    noted = EmotionRecognizer.from_pretrained(mine).record
    assert noted.command == command
    assert noted.evaluation["PublicTest"].accuracy == told["accuracy"]


def test_framing_changes_the_configuration_alone(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    measured = config["framing"].pop("dlib_hog")
    (folder / "config.json").write_text(json.dumps(config))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    outcome = run("framing", folder, "--data", fer2013_csv, "--detector", "dlib_hog")
    assert (outcome.status, outcome.out) == (0, "")
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"config.json"}
    framing = json.loads(after["config.json"])["framing"]
    assert framing == {"dlib_hog": pytest.approx(measured, abs=0.05)}


def test_plugins_lists_the_built_in_ones(run: Run) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    outcome = run("plugins", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    own = [record for record in json.loads(outcome.out) if record["distribution"] == "emonet"]
    assert {record["name"]: record["module"] for record in own} == project["entry-points"]["emonet"]
    components = {record["name"]: record["components"] for record in own}
    assert components["bovw"] == {"backbone": [], "feature_extractor": ["bovw"], "detector": []}
    assert components["resnet18"]["backbone"] == ["resnet18"]
    assert components["detectors"]["detector"] == ["yunet", "dlib_hog", "whole_image"]
    for record in own:
        assert (record["status"], record["error"]) == ("ok", None)
        assert any(record["components"].values())

    table = run("plugins")
    assert table.status == 0
    for name in (*components, "dlib_hog", "yunet", "whole_image"):
        assert name in table.out


def test_train_leaves_another_commands_model_alone(
    run: Run, tiny_folder: Path, fer2013_csv: Path
) -> None:
    before = {file: file.stat().st_mtime_ns for file in tiny_folder.iterdir()}
    outcome = run("train", "--data", fer2013_csv, "--out", tiny_folder)
    assert_refused(outcome, "holds a finished model already")
    assert {file: file.stat().st_mtime_ns for file in tiny_folder.iterdir()} == before


def test_filter_faces_takes_the_folder_that_it_is_called_in(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces, out = tmp_path / "faces", tmp_path / "out"
    (faces / "train" / "happy").mkdir(parents=True)
    Image.new("L", (48, 48), 90).save(faces / "train" / "happy" / "1.png")
    monkeypatch.chdir(faces)
    outcome = run("filter-faces", "--data", ".", "--out", out, "--detector", "whole_image")
    assert outcome.status == 0, outcome.err
    assert (out / "faces" / "train" / "happy" / "1.png").is_file()


def test_plugins_show_tells_a_components_settings(run: Run) -> None:
    outcome = run("plugins", "show", "yunet")
    assert (outcome.status, outcome.err) == (0, "")
    assert "detector 'yunet' (plugin 'detectors' of emonet" in outcome.out
    assert "model_path=null" in outcome.out
    facts = json.loads(run("plugins", "show", "resnet18", "--json").out)
    assert (facts["kind"], facts["distribution"]) == ("backbone", "emonet")
    assert facts["settings"] == {
        "width": 32,
        "stem_stride": 2,
        "dropout": 0.0,
        "input_size": [48, 48],
    }
    assert facts["summary"]
    assert_refused(run("plugins", "show", "resnet8"), "Did you mean 'resnet18'")


def test_filter_faces_copies_what_shows_one_face_and_reports(
    run: Run, fer2013_csv: Path, tmp_path: Path
) -> None:
    command = ("filter-faces", "--data", fer2013_csv, "--out", tmp_path / "out")
    outcome = run(*command, "--detector", "whole_image", "--split", "Training")
    assert outcome.status == 0, outcome.err
    # whole_image takes every picture for one face.
    copy = tmp_path / "out" / fer2013_csv.name
    assert copy.read_text().splitlines() == fer2013_csv.read_text().splitlines()
    report = json.loads((tmp_path / "out" / "filter.json").read_text())
    assert report["command"].startswith("emonet filter-faces --data ")
    assert report["counts"]["Training"]["fear"] == {"none": 0, "one": 20, "more": 0}
    assert "210 images kept" in outcome.out
    assert_refused(run(*command), "already exists")


def test_annotated_copies_do_not_replace_originals(
    run: Run, tiny_folder: Path, photos: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(photos / "one", tmp_path / "folder")
    Image.open(folder / "face.png").convert("RGB").save(folder / "face.jpg")
    before = (folder / "face.png").read_bytes()
    for given in ("face.png", "face.jpg"):
        outcome = run(
            *("predict", folder / given, "--save-annotated", folder),
            *("--model", tiny_folder, "--detector", "whole_image"),
        )
        assert_refused(outcome, "choose another folder")
        assert (folder / "face.png").read_bytes() == before


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("tensorfow", "Keras can't be imported"),
        ("torch", "needs torch (not installed). Run: pip install torch"),
    ],
)
def test_a_backend_that_keras_can_not_start_is_said(
    run_process: Run, astronaut: Path, monkeypatch: pytest.MonkeyPatch, backend: str, message: str
) -> None:
    if find_spec(backend) is not None:
        pytest.skip(f"{backend} is installed here")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    outcome = run_process("predict", astronaut, "--model", "tiny", "--runtime", "keras")
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def note(folder: Path, split: str, *figures: Any) -> None:
    """Note figures in a model folder, as another command does."""

    def noted(model: Model) -> Model:
        return replace(model, record=model.record.with_evaluation(split, *figures))

    update_model(folder, noted)


def test_a_calibration_keeps_what_was_noted_meanwhile(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path, monkeypatch
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    faces, evaluate = make_faces(2), EmotionRecognizer.evaluate
    costs = EmotionRecognizer.from_pretrained(folder).measure_robustness(faces)

    def meanwhile(recognizer: EmotionRecognizer, data: FaceDataset) -> Report:
        report = evaluate(recognizer, data)
        note(folder, "Training", report, costs)
        return report

    monkeypatch.setattr(EmotionRecognizer, "evaluate", meanwhile)
    command = ("calibrate", folder, "--data", fer2013_csv, "--split", "PublicTest")
    assert run(*command).status == 0
    record = EmotionRecognizer.from_pretrained(folder).record
    assert record.robustness == {"Training": costs}
    # Its log loss holds no longer.
    assert record.evaluation.keys() == {"PublicTest"}
    assert record.calibration is not None


def test_a_name_may_be_as_long_as_names_can_be(
    run: Run, tiny_folder: Path, photos: Path, tmp_path: Path
) -> None:
    photo = tmp_path / ("x" * 251 + ".png")
    shutil.copy(photos / "one" / "face.png", photo)
    options = ("--model", tiny_folder, "--detector", "whole_image")
    outcome = run("predict", photo, "--save-annotated", tmp_path / "marked", *options)
    assert outcome.status == 0, outcome.err
    assert (tmp_path / "marked" / photo.name).is_file()


def test_what_two_commands_note_at_a_time_is_both_kept(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path, monkeypatch
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    predict_proba = EmotionRecognizer.predict_proba
    report = EmotionRecognizer.from_pretrained(folder).evaluate(make_faces(2))

    def meanwhile(recognizer: EmotionRecognizer, faces: np.ndarray) -> np.ndarray:
        note(folder, "PrivateTest", report)
        return predict_proba(recognizer, faces)

    monkeypatch.setattr(EmotionRecognizer, "predict_proba", meanwhile)
    command = ("evaluate", "--data", fer2013_csv, "--split", "Training", "--note")
    assert run(*command, "--model", folder).status == 0
    noted = EmotionRecognizer.from_pretrained(folder).record.evaluation
    assert {"PrivateTest", "Training"} <= noted.keys()


def test_framing_that_can_not_be_measured_changes_nothing(
    run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    before = (folder / "config.json").read_bytes()
    blank = replace(make_faces(2), images=np.full((14, 48, 48), 128, np.uint8))
    data = write_fer2013(tmp_path / "blank.csv", {"Training": blank})
    outcome = run("framing", folder, "--data", data, "--detector", "dlib_hog")
    assert outcome.status == 0
    assert "finds exactly one face in only 0 of 14 training faces" in outcome.err
    assert "nothing was changed" in outcome.err
    assert (folder / "config.json").read_bytes() == before


def test_annotated_copies_of_an_earlier_run_are_not_looked_at(
    run: Run, tiny_folder: Path, photos: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(photos, tmp_path / "all")
    command = ("predict", folder, "--save-annotated", folder / "marked", "--json")
    options = ("--model", tiny_folder, "--detector", "whole_image")
    first = run(*command, *options)
    assert list((folder / "marked").rglob("*.png"))
    again = run(*command, *options)
    assert again.status == first.status == 0
    assert again.records == first.records
    assert len(list((folder / "marked").rglob("*.png"))) == len(first.records)


def test_a_copy_takes_the_place_of_nothing_but_a_copy(
    run: Run, tiny_folder: Path, photos: Path, tmp_path: Path
) -> None:
    target = tmp_path / "marked"
    target.mkdir()
    original = (photos / "one" / "face.png").read_bytes()
    (target / "face.png").write_bytes(original)
    (target / "face-2.png").write_text("not an image")
    for _ in range(2):
        outcome = run(
            *("predict", photos / "one" / "face.png", "--save-annotated", target),
            *("--model", tiny_folder, "--detector", "whole_image"),
        )
        assert outcome.status == 0
        assert {file.name for file in target.iterdir()} == {
            "face.png",
            "face-2.png",
            "face-3.png",
        }
    assert (target / "face.png").read_bytes() == original


def test_a_path_that_is_no_text_can_be_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["emonet", "train", "--data", "caf\udce9.csv"])
    record = TrainingRecord(command=typed_command())
    (tmp_path / "training.json").write_text(record_to_json(record), encoding="utf-8")
    assert read_record(tmp_path / "training.json") == record
    assert "caf" in record.command


def test_a_pattern_stands_for_files_alone(run: Run, tiny_folder: Path, photos: Path) -> None:
    options = ("--model", tiny_folder, "--detector", "whole_image", "--json")
    outcome = run("predict", photos / "**" / "*", *options)
    expected = [file for file in photos.rglob("*") if file.is_file()]
    assert len(outcome.records) == len(expected)
    assert_refused(run("predict", photos / "on?", *options), "No file matches")


def test_a_model_is_measured_on_faces_of_some_of_its_classes(
    run: Run, tiny_folder: Path, tmp_path: Path
) -> None:
    faces = make_faces(3, seed=4)
    for name, kind in (("angry", 0), ("happy", 3)):
        folder = tmp_path / "mine" / "test" / name
        folder.mkdir(parents=True)
        for index, face in enumerate(faces.images[faces.classes == kind]):
            Image.fromarray(face).save(folder / f"{index}.png")
    command = ("evaluate", "--data", tmp_path / "mine", "--split", "test", "--model", tiny_folder)
    done = run(*command, "--json")
    assert done.status == 0, done.err
    (report,) = done.records
    assert {label: row["support"] for label, row in report["per_class"].items()} == {
        **dict.fromkeys(FER2013, 0), "anger": 3, "happiness": 3,
    }  # fmt: skip
    with_faces = [report["per_class"][label]["f1"] for label in ("anger", "happiness")]
    assert report["macro_f1"] == pytest.approx(np.mean(with_faces))
    (costs,) = run(*command, "--robustness", "--json").records
    assert costs["robustness"]["unchanged"] == costs["accuracy"] == report["accuracy"] > 0


def test_a_name_that_the_terminal_lacks_stops_nobody(
    run_process: Run, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # as on Windows, into a file
    Image.new("L", (48, 48), 90).save(tmp_path / "日本.png")
    command = ("predict", tmp_path, "--model", tiny_folder, "--detector", "whole_image")
    done = run_process(*command)
    assert done.status == 0, done.err
    assert "\\u65e5\\u672c.png" in done.out.replace("\n", "")


def test_a_class_in_brackets_is_shown(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "faces" / "train" / "[neutral]"
    folder.mkdir(parents=True)
    Image.new("L", (48, 48), 90).save(folder / "1.png")
    command = ("filter-faces", "--data", tmp_path / "faces", "--out", tmp_path / "out")
    done = run(*command, "--detector", "whole_image")
    assert done.status == 0, done.err
    assert "[neutral]" in done.out
