"""``python -m benchmarks train-bundled``: the lists of runs, and a list that is interrupted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from benchmarks.bundled_runs import BUNDLED, LISTS, Run
from benchmarks.train_bundled import Place, next_command, train_list

import emonet
from emonet import EmotionRecognizer, Recipe
from emonet.cli.app import app
from emonet.errors import ConfigError
from emonet.training.recipes import get_recipe

ROOT = Path(__file__).parents[2]
MODELS = Path(emonet.__file__).parent / "models"
PLACE = Place(out=Path("models"), data=Path("fer2013.csv"))


@pytest.mark.parametrize("name", LISTS)
def test_each_run_follows_the_runs_that_it_needs(name: str) -> None:
    known: set[str] = set()
    for run in LISTS[name]:
        assert run.name not in known
        assert set(run.needs) <= known
        known.add(run.name)


@pytest.mark.parametrize(
    "run", [run for runs in LISTS.values() for run in runs], ids=lambda r: r.name
)
def test_emonet_takes_the_command_of_each_run(run: Run) -> None:
    if run.kind == "measure":
        return  # its commands depend on the folder
    name, *arguments = next_command(run, PLACE)
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, arguments)
    assert context.params["out"] == Path(run.name)
    if run.trains:
        chosen = get_recipe(run.recipe).with_settings(run.recipe_options)
        assert chosen.epochs > 0
        EmotionRecognizer(run.backbone or "resnet18", backbone_config=run.backbone_options)


@pytest.mark.parametrize(
    ("model", "member", "name"),
    [
        ("default", "resnet18", "light3"),
        ("default", "resnet18_2", "bright"),
        ("default", "resnet18_3", "fast"),
        ("fast", None, "fast"),
        ("tiny", None, "quarter"),
    ],
)
def test_a_run_has_the_recipe_of_the_bundled_model(
    model: str, member: str | None, name: str
) -> None:
    record = EmotionRecognizer.from_pretrained(model).record
    record = record if member is None else record.members[member]
    (run,) = [run for run in BUNDLED if run.name == name]
    recipe = get_recipe(
        get_recipe(run.recipe).with_settings(run.recipe_options),
        epochs=run.options["epochs"],
        precision=run.options["precision"],
    )
    assert recipe == Recipe.from_dict(record.recipe)
    assert record.seed == run.options["seed"]
    if run.teacher is not None:
        assert record.teacher.weight == run.options["teacher_weight"]


def test_a_list_combines_and_measures_models(
    fer2013_csv: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Finished networks stay as they are; a run that fails does not stop the others."""
    for name, model in (("one", "fast"), ("two", "tiny")):
        shutil.copytree(MODELS / model, tmp_path / name)
    runs = (
        Run(name="one", kind="train", options={"seed": 1}),
        Run(name="two", kind="train", options={"seed": 2}),
        Run(name="both", kind="mean", models=("one", "two")),
        Run(name="broken", kind="mean", models=("one",), options={"no_such_option": 1}),
        Run(name="after", kind="mean", models=("broken",)),
        Run(name="done", kind="measure", models=("both",), measures=("calibrate",)),
    )
    place = Place(out=tmp_path, data=fer2013_csv, backend="tensorflow")
    assert not train_list(runs, place, parallel=2)
    told = capfd.readouterr().err
    assert "broken: failed with status 2" in told
    assert "Not started: after" in told
    rows = {row["name"]: row for row in json.loads((tmp_path / "runs.json").read_text())}
    assert rows["both"]["from"] == ["one", "two"]
    assert rows["both"]["parameters"] == rows["one"]["parameters"] + rows["two"]["parameters"]
    assert rows["both"]["faces"] == 42
    assert "cores of" in rows["both"]["machine"]
    assert rows["one"]["epochs"] == 56
    assert "accuracy" not in rows["broken"]
    page = (tmp_path / "runs.md").read_text()
    assert f"| {100 * rows['both']['accuracy']:.2f} % |" in page
    both = EmotionRecognizer.from_pretrained(tmp_path / "both")
    assert both.record.calibration is not None
    assert both.record.command.startswith("emonet ensemble ./one ./two --mean")

    assert train_list(runs, place, only=["both", "done"])
    assert "started" not in capfd.readouterr().err
    with pytest.raises(ConfigError, match="after needs broken, not finished"):
        train_list(runs, place, only=["after"])


LIST = """
import sys
from pathlib import Path
from benchmarks.bundled_runs import Run
from benchmarks.train_bundled import Place, train_list

SMALL = {"width": 4}
RUNS = (
    Run(name="one", kind="train", backbone="resnet18", backbone_options=SMALL,
        options={"epochs": 2, "seed": 1, "detector": "whole_image"}),
    Run(name="two", kind="train", backbone="resnet18", backbone_options=SMALL,
        options={"epochs": int(sys.argv[3]), "seed": 2, "detector": "whole_image"}),
    Run(name="both", kind="mean", models=("one", "two")),
    Run(name="done", kind="measure", models=("both",), measures=("calibrate",)),
)
place = Place(out=Path(sys.argv[1]), data=Path(sys.argv[2]), backend=sys.argv[4])
minutes = float(sys.argv[5]) if sys.argv[5:] else None
sys.exit(0 if train_list(RUNS, place, parallel=2, minutes=minutes) else 1)
"""


def start(out: Path, data: Path, epochs: int, *minutes: str) -> subprocess.Popen[str]:
    arguments = [str(out), str(data), str(epochs), "tensorflow", *minutes]
    return subprocess.Popen(
        [sys.executable, "-c", LIST, *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        text=True,
    )


def epochs_of(folder: Path) -> int:
    state = folder / "checkpoints" / "state.json"
    return len(json.loads(state.read_text())["history"]) if state.exists() else 0


@pytest.mark.slow
def test_an_interrupted_list_goes_on_with_whole_checkpoints(
    fer2013_csv: Path, tmp_path: Path
) -> None:
    epochs = 40
    process = start(tmp_path, fer2013_csv, epochs)
    while epochs_of(tmp_path / "two") < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate()
    done = epochs_of(tmp_path / "two")
    assert 2 <= done < epochs
    rows = {row["name"]: row for row in json.loads((tmp_path / "runs.json").read_text())}
    assert rows["two"]["epochs"] == done
    assert "| two |" in (tmp_path / "runs.md").read_text()

    process = start(tmp_path, fer2013_csv, epochs, "0")  # no time at all
    assert "are over" in process.communicate()[1]
    assert epochs_of(tmp_path / "two") == done

    process = start(tmp_path, fer2013_csv, epochs)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors + (tmp_path / "logs" / "two.log").read_text()
    assert f"Continuing after epoch {done}" in (tmp_path / "logs" / "two.log").read_text()
    rows = {row["name"]: row for row in json.loads((tmp_path / "runs.json").read_text())}
    assert [rows[name]["epochs"] for name in ("one", "two")] == [2, epochs]
    assert rows["both"]["from"] == ["one", "two"]
    assert rows["both"]["parameters"] == rows["one"]["parameters"] + rows["two"]["parameters"]
    for name in ("one", "two", "both"):
        assert rows[name]["faces"] == 42
        assert 0 < rows[name]["accuracy"] <= 1
        assert "cores of" in rows[name]["machine"]
    page = (tmp_path / "runs.md").read_text()
    assert f"| {100 * rows['both']['accuracy']:.2f} % |" in page
    assert EmotionRecognizer.from_pretrained(tmp_path / "both").record.calibration is not None

    table = (tmp_path / "runs.json").read_bytes()
    process = start(tmp_path, fer2013_csv, epochs)
    assert "started" not in process.communicate()[1]
    assert (tmp_path / "runs.json").read_bytes() == table
