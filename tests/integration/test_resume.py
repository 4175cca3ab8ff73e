"""A run that was killed and started again ends as if nothing had happened."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Outcome, Run

from emonet import EmotionRecognizer, Phase, Recipe
from emonet.data import FaceDataset
from emonet.data.augmentation import Augmentation
from emonet.errors import DataError, TrainingError
from emonet.experiments.runs import is_finished
from emonet.records import UNKNOWN, EpochRecord

TRAIN = make_faces(8)
VALID = make_faces(4, seed=1)

RECIPES = {
    "averaged": Recipe(
        name="averaged",
        phases=(
            Phase(
                epochs=4,
                optimizer="sgd",
                learning_rate=0.02,
                schedule="cosine",
                warmup_epochs=1,
                weight_decay=1e-2,
            ),
        ),
        batch_size=14,
        augmentation=Augmentation(
            rotation=10, horizontal_flip=True, contrast=0.2, random_erasing=0.2
        ),
        label_smoothing=0.1,
        mixup=0.2,
        no_mixup_epochs=1,
        ema_decay=0.9,
        monitor="val_accuracy",
    ),
    "two_phases": Recipe(
        name="two_phases",
        phases=(
            Phase(epochs=2, backbone="frozen", optimizer="adam", learning_rate=0.01),
            Phase(
                epochs=3,
                optimizer="adam",
                learning_rate=0.02,
                schedule="plateau",
                plateau_patience=1,
                patience=3,
            ),
        ),
        batch_size=14,
        augmentation=Augmentation(shear=10, horizontal_flip=True),
    ),
    "batch_norm_thawed": Recipe(
        name="batch_norm_thawed",
        phases=(
            Phase(epochs=1, backbone="trained_except_batch_norm", learning_rate=0.01),
            Phase(epochs=1, backbone="trained", learning_rate=0.01),
        ),
        batch_size=14,
    ),
}


pytestmark = pytest.mark.usefixtures("mini_backbone")


def fit(recipe: Recipe, checkpoints: Path) -> EmotionRecognizer:
    recognizer = EmotionRecognizer("mini", detector="whole_image", backbone_config={"dropout": 0.1})
    return recognizer.fit(TRAIN, VALID, recipe=recipe, checkpoint_dir=checkpoints)


class AfterEpoch(logging.Handler):
    """Calls a method after each epoch, when its checkpoint is on the disk."""

    def __enter__(self):
        self._logger = logging.getLogger("emonet")
        self._kept_level = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._kept_level)

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("epoch "):
            self.act(int(record.getMessage().split()[1].split("/")[0]))

    def act(self, epoch: int) -> None:
        raise NotImplementedError


class Copying(AfterEpoch):
    """Copies the checkpoints: what a process that is killed then would leave behind."""

    def __init__(self, checkpoints: Path, copies: Path) -> None:
        super().__init__()
        self._checkpoints, self._copies = checkpoints, copies

    def act(self, epoch: int) -> None:
        shutil.copytree(self._checkpoints, self._copies / str(epoch))


class Interrupting(AfterEpoch):
    """Presses Ctrl-C."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def act(self, epoch: int) -> None:
        if epoch == self._epoch:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def uninterrupted(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[EmotionRecognizer, Path]]:
    """Each recipe's outcome, and its checkpoints after every epoch in folders 1, 2 ..."""
    outcomes = {}
    for name, recipe in RECIPES.items():
        checkpoints, copies = (tmp_path_factory.mktemp(name) for _ in range(2))
        with Copying(checkpoints, copies):
            recognizer = fit(recipe, checkpoints)
        assert len(recognizer.record.history) == recipe.epochs
        outcomes[name] = (recognizer, copies)
    return outcomes


def timeless(history: tuple[EpochRecord, ...]) -> list[EpochRecord]:
    return [replace(record, seconds=0.0) for record in history]


def assert_same_outcome(resumed: EmotionRecognizer, expected: EmotionRecognizer) -> None:
    assert timeless(resumed.record.history) == timeless(expected.record.history)
    ours, theirs = resumed.weights["mini"], expected.weights["mini"]
    assert ours.keys() == theirs.keys()
    differing = [name for name in ours if not np.array_equal(ours[name], theirs[name])]
    assert not differing
    assert np.array_equal(resumed.predict_proba(VALID.images), expected.predict_proba(VALID.images))


@pytest.mark.parametrize(
    ("name", "epoch"),
    [(name, epoch) for name, recipe in RECIPES.items() for epoch in range(1, recipe.epochs + 1)],
)
def test_a_run_that_died_after_any_epoch_ends_bit_equal(
    uninterrupted: dict[str, tuple[EmotionRecognizer, Path]],
    tmp_path: Path,
    name: str,
    epoch: int,
) -> None:
    expected, copies = uninterrupted[name]
    checkpoints = shutil.copytree(copies / str(epoch), tmp_path / "checkpoints")
    assert_same_outcome(fit(RECIPES[name], checkpoints), expected)


def test_a_run_that_died_while_it_wrote_ends_bit_equal(
    uninterrupted: dict[str, tuple[EmotionRecognizer, Path]], tmp_path: Path
) -> None:
    expected, copies = uninterrupted["averaged"]
    checkpoints = shutil.copytree(copies / "2", tmp_path / "checkpoints")
    # The next epoch's arrays and state half written, and the last one's not yet deleted.
    whole = (copies / "3" / "last-0003.safetensors").read_bytes()
    for name in ("last-0003.safetensors", "best-0003.safetensors"):
        (checkpoints / name).write_bytes(whole[: len(whole) // 2])
    (checkpoints / ".state.json.0123").write_text('{"identity": {"netw')
    shutil.copy(copies / "1" / "last-0001.safetensors", checkpoints)
    assert_same_outcome(fit(RECIPES["averaged"], checkpoints), expected)
    kinds = sorted(file.name.split("-")[0] for file in checkpoints.glob("[!.]*"))
    assert kinds == ["best", "last", "state.json"]


def test_an_interrupted_run_goes_on_in_the_same_process(
    uninterrupted: dict[str, tuple[EmotionRecognizer, Path]], tmp_path: Path
) -> None:
    expected, _ = uninterrupted["two_phases"]
    recognizer = EmotionRecognizer("mini", detector="whole_image", backbone_config={"dropout": 0.1})
    arguments = {"recipe": RECIPES["two_phases"], "checkpoint_dir": tmp_path}
    for epoch in (1, 3):
        with Interrupting(epoch), pytest.raises(KeyboardInterrupt):
            recognizer.fit(TRAIN, VALID, **arguments)
        assert recognizer.record == UNKNOWN
    assert_same_outcome(recognizer.fit(TRAIN, VALID, **arguments), expected)


def emonet_train(data: Path, out: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "emonet", "train", "--data", str(data), "--out", str(out)),
        *("--backbone-option", "width=4", "--detector", "whole_image", *options),
    ]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for success and return what was written to standard error."""
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert output == ""
    return errors


def finished_epochs(out: Path) -> int:
    try:
        return len(json.loads((out / "checkpoints" / "state.json").read_text())["history"])
    except FileNotFoundError:
        return 0


def kill_after(process: subprocess.Popen[str], out: Path, epochs: int, delay: float = 0) -> None:
    """Kill a process as soon as so many epochs are on the disk, and a moment later."""
    deadline = time.monotonic() + 600
    while finished_epochs(out) < epochs:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "config.json").exists()


def assert_same_model(one: Path, other: Path) -> None:
    name = "resnet18.safetensors"
    assert (one / name).read_bytes() == (other / name).read_bytes()
    records = [json.loads((out / "training.json").read_text()) for out in (one, other)]
    for record in records:
        del record["command"]
        for epoch in record["history"]:
            del epoch["seconds"]
    assert records[0] == records[1]


@pytest.mark.slow
def test_a_killed_command_started_again_writes_the_same_bytes(
    fer2013_csv: Path, tmp_path: Path
) -> None:
    options = ("--recipe", "scratch", "--epochs", "30", "--seed", "3")
    # Both at once: most of the time each of them waits for TensorFlow.
    undisturbed = start(emonet_train(fer2013_csv, tmp_path / "undisturbed", *options))
    out = tmp_path / "killed"
    command = emonet_train(fer2013_csv, out, *options)
    kill_after(start(command), out, epochs=1)

    errors = finish(start(command))
    assert "Continuing after epoch" in errors
    finish(undisturbed)
    assert_same_model(out, tmp_path / "undisturbed")
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "config.json",
        "resnet18.onnx",
        "resnet18.safetensors",
        "training.json",
    }

    record = json.loads((out / "training.json").read_text())
    assert (record["seed"], record["recipe"]["name"]) == (3, "scratch")
    assert len(record["history"]) == 30
    assert record["command"].startswith(f"emonet train --data {fer2013_csv}")
    assert set(record["evaluation"]) == {"PublicTest"}

    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    assert "nothing to do" in finish(start(command))
    assert {file: file.stat().st_mtime_ns for file in out.iterdir()} == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_command_killed_again_and_again_writes_the_same_bytes(
    fer2013_csv: Path, tmp_path: Path, seed: int
) -> None:
    options = ("--recipe", "paper", "--epochs", "33", "--seed", str(seed))
    undisturbed = start(emonet_train(fer2013_csv, tmp_path / "undisturbed", *options))
    out, chance = tmp_path / "killed", random.Random(seed)
    command = emonet_train(fer2013_csv, out, *options)
    # In the first phase, around its end, and twice in the second.
    for epochs in (1, 3, 5, 9):
        kill_after(start(command), out, epochs, delay=chance.uniform(0, 0.1))
    finish(start(command))
    finish(undisturbed)
    assert_same_model(out, tmp_path / "undisturbed")


@pytest.fixture
def run_train(run: Run, fer2013_csv: Path) -> Callable[..., Outcome]:
    """Run ``emonet train`` in this process."""
    fixed = ("--data", fer2013_csv, "--backbone", "mini", "--detector", "whole_image")
    return lambda out, *options: run("train", "--out", out, *fixed, *options)


def test_a_command_killed_before_its_evaluation_still_evaluates(
    run_train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(self: EmotionRecognizer, data: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(EmotionRecognizer, "evaluate", interrupted)
        assert run_train(tmp_path, "--epochs", "2").status == 130
    assert run_train(tmp_path, "--epochs", "2").status == 0
    record = json.loads((tmp_path / "training.json").read_text())
    assert set(record["evaluation"]) == {"PublicTest"}
    assert not (tmp_path / "checkpoints").exists()


def test_a_command_killed_while_it_cleans_up_is_finished(
    run_train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(folder: Path, **options: bool) -> None:
        if folder.exists():
            (folder / "state.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("emonet.experiments.runs.shutil", SimpleNamespace(rmtree=interrupted))
        assert run_train(tmp_path, "--epochs", "2").status == 130
    assert is_finished(tmp_path)
    assert not (tmp_path / ".finished").exists()
    (tmp_path / "config.json").unlink()  # to train anew
    assert run_train(tmp_path, "--epochs", "2").status == 0


def test_another_command_does_not_go_on_with_a_run(run_train, tmp_path: Path) -> None:
    with Interrupting(1):
        assert run_train(tmp_path, "--epochs", "2").status == 130
    refused = run_train(tmp_path, "--epochs", "2", "--seed", "1")
    assert refused.status == 2
    assert "holds a run with another seed" in refused.err
    assert "Traceback" not in refused.err
    assert run_train(tmp_path, "--epochs", "2").status == 0


def test_a_second_training_into_the_same_folder_is_refused(run_train, tmp_path: Path) -> None:
    class Again(AfterEpoch):
        def act(self, epoch: int) -> None:
            refused.append(run_train(tmp_path / "out", "--epochs", "2"))
            with pytest.raises(TrainingError, match=r"Another training runs in .*another folder"):
                fit(RECIPES["batch_norm_thawed"], tmp_path / "out" / "checkpoints")

    refused: list[Outcome] = []
    with Again():
        assert run_train(tmp_path / "out", "--epochs", "1").status == 0
    assert [outcome.status for outcome in refused] == [2]
    assert "Another training runs in" in refused[0].err
    assert not list((tmp_path / "out").glob(".*"))


def test_a_training_that_can_not_start_leaves_no_folder(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer("mini", detector="whole_image")
    one_class = FaceDataset(TRAIN.images, np.zeros(len(TRAIN), np.int64), TRAIN.labels)
    with pytest.raises(DataError):
        recognizer.fit(one_class, VALID, checkpoint_dir=tmp_path / "checkpoints")
    assert list(tmp_path.iterdir()) == []


SLOW_COMMAND = """
import sys, time
from pathlib import Path
from emonet.cli import app
from emonet.support.files import atomic_write

def slow(folder: Path) -> None:
    with atomic_write(folder / "whole.txt") as file:
        file.write_text("half")
        print("half of it is written", flush=True)
        time.sleep(600)

app.app.command()(slow)
app.main()
"""


def test_a_command_that_is_told_to_end_clears_away_what_is_half_written(tmp_path: Path) -> None:
    """As by ``docker stop``; after SIGKILL nobody can."""
    process = start([sys.executable, "-c", SLOW_COMMAND, "slow", str(tmp_path)])
    assert process.stdout.readline() == "half of it is written\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.terminate()
    process.communicate()
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []
