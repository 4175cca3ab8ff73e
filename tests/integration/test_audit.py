"""``emonet audit`` and ``emonet evaluate --group-by``, with a bundled model."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import make_faces, write_fer2013
from tests.integration.conftest import Run

from emonet import EmotionRecognizer, load_dataset, load_groups
from emonet.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces with a column for the group: two thirds of them are in group [b]."""
    faces = {"Training": make_faces(1), "PublicTest": make_faces(9, seed=1)}
    file = write_fer2013(tmp_path_factory.mktemp("data") / "faces.csv", faces)
    head, *rows = file.read_text().splitlines()
    groups = ["[b]" if index % 3 else "a" for index in range(len(rows))]
    lines = [f"{head},kind", *(f"{row},{group}" for row, group in zip(rows, groups, strict=True))]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same faces as images, with the groups in a CSV file beside them."""
    root = tmp_path_factory.mktemp("folder")
    dataset = load_dataset(data, "PublicTest")
    rows = []
    for index, group in enumerate(load_groups(data, dataset, "kind")):
        path = Path("test", dataset.labels[dataset.classes[index]], f"{index:02}.png")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.images[index]).save(root / path)
        rows.append((path, group))
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "kind"), *reversed(rows)])
    return root


def test_the_command_prints_what_python_returns(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    where = ("--data", data, "--group", "kind", "--split", "PublicTest", "--model", "tiny")
    (record,) = run("audit", *where, "--min-faces", "30", "--json", "--out", out).records
    tiny, dataset = EmotionRecognizer.from_pretrained("tiny"), load_dataset(data, "PublicTest")
    groups = load_groups(data, dataset, "kind")
    audit = tiny.audit(dataset, groups, min_faces=30)
    assert record == json.loads(out.read_text()) == json.loads(json.dumps(audit.to_dict()))
    assert {name: (one.report.n, one.small) for name, one in audit.groups.items()} == {
        "[b]": (42, False),
        "a": (21, True),
    }
    of_a = [index for index, group in enumerate(groups) if group == "a"]
    assert audit.groups["a"].report == tiny.evaluate(dataset.subset(of_a))
    assert audit.overall == tiny.evaluate(dataset)


def test_small_groups_and_brackets_are_shown(run: Run, data: Path) -> None:
    where = ("--data", data, "--group", "kind", "--split", "PublicTest", "--model", "tiny")
    shown = run("audit", *where, "--min-faces", "30").out
    assert "63 faces of 2 groups" in shown
    assert "21*" in shown
    assert "[b]" in shown
    for name in ("false anger", "false anger of neutral", "recall of fear", "accuracy"):
        assert name in shown


def test_a_folder_takes_its_groups_from_a_csv_file(run: Run, data: Path, folder: Path) -> None:
    what = ("--group", "kind", "--model", "tiny", "--json")
    groups = ("--groups", folder / "groups.csv")
    (of_folder,) = run("audit", "--data", folder, "--split", "test", *groups, *what).records
    (of_table,) = run("audit", "--data", data, "--split", "PublicTest", *what).records
    assert (
        of_folder["groups"]["a"]["report"]["confusion"]
        == (of_table["groups"]["a"]["report"]["confusion"])
    )
    assert of_folder["gaps"][0] == of_table["gaps"][0]


def test_evaluate_adds_accuracy_by_group(run: Run, data: Path) -> None:
    where = ("--model", "tiny", "--data", data, "--split", "PublicTest", "--group-by", "kind")
    (record,) = run("evaluate", *where, "--json").records
    tiny, dataset = EmotionRecognizer.from_pretrained("tiny"), load_dataset(data, "PublicTest")
    audit = tiny.audit(dataset, load_groups(data, dataset, "kind"))
    groups = record.pop("groups")
    assert record == json.loads(json.dumps(tiny.evaluate(dataset).to_dict()))
    assert groups == json.loads(
        json.dumps({name: one.report.to_dict() for name, one in audit.groups.items()})
    )
    shown = run("evaluate", *where).out
    assert "macro F1" in shown
    assert f"{audit.groups['a'].report.macro_f1:.4f}" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--group", "gender"), "no column gender; found ['emotion', 'pixels', 'Usage', 'kind']"),
        (("--group", "Usage"), "two groups or more, got ['PublicTest']"),
        (("--group", "kind", "--groups", "groups.csv"), "--groups is for a folder of images"),
        (("--group", "kind", "--min-faces", "0"), "min_faces must be a whole number"),
    ],
)
def test_what_can_not_be_audited_is_said(
    run: Run, data: Path, options: tuple[str, ...], message: str
) -> None:
    outcome = run("audit", "--data", data, "--split", "PublicTest", "--model", "tiny", *options)
    assert outcome.status == 2
    assert message in outcome.err


def test_a_folder_needs_the_file_of_groups(run: Run, folder: Path) -> None:
    where = ("--data", folder, "--split", "test", "--model", "tiny")
    outcome = run("audit", *where, "--group", "kind")
    assert outcome.status == 2
    assert "pass --groups with a CSV file that has the columns path and kind" in outcome.err
    outcome = run("evaluate", *where, "--groups", folder / "groups.csv")
    assert outcome.status == 2
    assert "--groups needs --group-by" in outcome.err


def test_images_without_a_group_are_named(folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(folder, "test")
    head, first, *rows = (folder / "groups.csv").read_text().splitlines()
    moved = folder / "moved.csv"
    moved.write_text("\n".join([head, *rows]) + "\n")
    with pytest.raises(DataError, match=f"no row for image .*{first.split(',')[0]}"):
        load_groups(moved, dataset, "kind")
    moved.write_text("\n".join([head, first, first.split(",")[0] + ",other", *rows]) + "\n")
    with pytest.raises(DataError, match="line 3: a second kind"):
        load_groups(moved, dataset, "kind")
    moved.write_text("\n".join([head, first.split(",")[0] + ",", *rows]) + "\n")
    with pytest.raises(DataError, match="no kind for image"):
        load_groups(moved, dataset, "kind")
    elsewhere = tmp_path / "groups.csv"
    elsewhere.write_text((folder / "groups.csv").read_text())
    with pytest.raises(DataError, match="60 more\\. Paths in it are absolute"):
        load_groups(elsewhere, dataset, "kind")


def test_illegal_settings_are_refused(data: Path) -> None:
    tiny, dataset = EmotionRecognizer.from_pretrained("tiny"), load_dataset(data, "PublicTest")
    groups = load_groups(data, dataset, "kind")
    with pytest.raises(ConfigError, match="min_faces"):
        tiny.audit(dataset, groups, min_faces=0)
    with pytest.raises(ConfigError, match="seed"):
        tiny.audit(dataset, groups, seed=-1)
