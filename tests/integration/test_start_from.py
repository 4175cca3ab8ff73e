"""Training that goes on from a trained network's weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces, write_fer2013
from tests.integration.conftest import Run
from tests.integration.recognizers import after_every_epoch, mini, watching, with_random_weights

from emonet import EmotionRecognizer, FaceDataset, HeadConfig, Phase, Recipe
from emonet.config import Framing
from emonet.errors import ConfigError, TrainingError, WeightsError
from emonet.labels import FER2013
from emonet.records import ValidationFigures

TRAIN = make_faces(6)
VALID = make_faces(3, seed=1)
LEARNING = Recipe(
    name="mini", phases=(Phase(epochs=2, optimizer="adam", learning_rate=3e-3),), batch_size=14
)
#: Steps too small to see: what comes out is what training started from.
STANDING = replace(LEARNING, phases=(Phase(epochs=1, learning_rate=1e-12),))
LAST = "head/probabilities/kernel"

pytestmark = pytest.mark.usefixtures("mini_backbone")


@pytest.fixture(scope="module")
def learnt(mini_backbone) -> EmotionRecognizer:
    return mini().fit(TRAIN, VALID, recipe=LEARNING)


def arrays(recognizer: EmotionRecognizer) -> dict[str, np.ndarray]:
    (weights,) = recognizer.weights.values()
    return {name: array for name, array in weights.items() if "moving" not in name}


def test_it_starts_from_the_weights(learnt: EmotionRecognizer) -> None:
    again = mini().fit(TRAIN, VALID, recipe=STANDING, start_from=learnt, seed=9)
    for name, array in arrays(again).items():
        np.testing.assert_allclose(array, arrays(learnt)[name], atol=1e-6, err_msg=name)
    assert again.record.started_from is not None
    assert again.record.earlier_runs == (learnt.record,)
    assert learnt.record.started_from is None
    assert learnt.record.earlier_runs == ()


def test_a_recognizer_can_train_on_from_itself(learnt: EmotionRecognizer, tmp_path: Path) -> None:
    learnt.save_pretrained(tmp_path)
    mine = EmotionRecognizer.from_pretrained(tmp_path)
    mine.fit(TRAIN, VALID, recipe=LEARNING, start_from=mine)
    assert mine.record.history[0].loss < learnt.record.history[0].loss
    mine.save_pretrained(tmp_path / "further")
    (read,) = EmotionRecognizer.from_pretrained(tmp_path / "further").record.earlier_runs
    assert read.history == learnt.record.history


def test_the_record_of_a_model_that_is_trained_on_and_on_has_an_end(
    learnt: EmotionRecognizer,
) -> None:
    mine = mini().fit(TRAIN, VALID, recipe=STANDING, start_from=learnt, seed=0)
    for seed in range(1, 10):
        mine.fit(TRAIN, VALID, recipe=STANDING, start_from=mine, seed=seed)
    assert [run.seed for run in mine.record.earlier_runs] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert not any(run.earlier_runs for run in mine.record.earlier_runs)


def test_weights_of_which_nothing_is_known_start_a_run(learnt: EmotionRecognizer) -> None:
    unknown = with_random_weights(EmotionRecognizer.like(learnt))
    again = mini().fit(TRAIN, VALID, recipe=STANDING, start_from=unknown)
    assert again.record.started_from is not None
    assert again.record.earlier_runs == ()


def test_columns_follow_the_labels(learnt: EmotionRecognizer) -> None:
    turned = {
        name: replace(data, labels=FER2013[::-1], classes=6 - data.classes)
        for name, data in (("train", TRAIN), ("valid", VALID))
    }
    again = EmotionRecognizer.like(learnt, labels=FER2013[::-1])
    again.fit(turned["train"], turned["valid"], recipe=STANDING, start_from=learnt)
    np.testing.assert_allclose(arrays(again)[LAST], arrays(learnt)[LAST][:, ::-1], atol=1e-6)


def test_other_labels_get_a_last_layer_of_their_own(learnt: EmotionRecognizer) -> None:
    labels = ("awake", "tired")
    halves = [replace(data, labels=labels, classes=data.classes % 2) for data in (TRAIN, VALID)]
    again = EmotionRecognizer.like(learnt, labels=labels)
    again.fit(*halves, recipe=STANDING, start_from=learnt)
    assert again.labels == labels
    assert arrays(again)[LAST].shape == (arrays(learnt)[LAST].shape[0], 2)
    same = [name for name in arrays(again) if not name.startswith("head/")]
    assert same
    for name in same:
        np.testing.assert_allclose(arrays(again)[name], arrays(learnt)[name], atol=1e-6)


def test_like_has_learnt_nothing(learnt: EmotionRecognizer) -> None:
    fresh = EmotionRecognizer.like(learnt)
    assert fresh.config.networks == learnt.config.networks
    assert fresh.config.framing == learnt.config.framing
    with pytest.raises(Exception, match="fit") as caught:
        fresh.predict_proba(TRAIN.images)
    assert type(caught.value).__name__ == "NotFittedError"


def test_framings_of_other_faces_do_not_outlive_training(learnt: EmotionRecognizer) -> None:
    elsewhere = {"yunet": Framing(scale=1.1), "dlib_hog": Framing(scale=5.0)}
    mine = EmotionRecognizer("mini", detector="dlib_hog")
    mine._become(replace(mine.model, config=replace(mine.config, framing=elsewhere)))
    mine.fit(TRAIN, VALID, recipe=STANDING, start_from=learnt)
    assert mine.config.framing.keys() == {"dlib_hog"}
    assert mine.config.framing_for("yunet").scale < 2
    # A detector without boxes of its own measures nothing: what was known is better than that.
    whole = mini()
    whole._become(replace(whole.model, config=replace(whole.config, framing=elsewhere)))
    assert whole.fit(TRAIN, VALID, recipe=STANDING, start_from=learnt).config.framing == elsewhere


def test_what_can_not_be_started_from_is_refused(learnt: EmotionRecognizer) -> None:
    both = EmotionRecognizer.ensemble([learnt, learnt])
    with pytest.raises(ConfigError, match="one network, got an ensemble of 2: mini, mini_2"):
        mini().fit(TRAIN, VALID, recipe=STANDING, start_from=both)
    wider = mini(head=HeadConfig(units=(7,)))
    with pytest.raises(WeightsError, match="The model of start_from"):
        wider.fit(TRAIN, VALID, recipe=STANDING, start_from=learnt)


def test_a_run_is_not_resumed_from_another_start(learnt: EmotionRecognizer, tmp_path: Path) -> None:
    mini().fit(TRAIN, VALID, recipe=STANDING, start_from=learnt, checkpoint_dir=tmp_path)
    other = mini().fit(TRAIN, VALID, recipe=LEARNING, seed=5)
    with pytest.raises(TrainingError, match="another started_from"):
        mini().fit(TRAIN, VALID, recipe=STANDING, start_from=other, checkpoint_dir=tmp_path)
    with pytest.raises(TrainingError, match="another started_from"):
        mini().fit(TRAIN, VALID, recipe=STANDING, checkpoint_dir=tmp_path)


#: Steps so large that every epoch is worse than the weights before.
LEAPING = replace(LEARNING, phases=(Phase(epochs=3, optimizer="adam", learning_rate=100.0),))


def figures(recognizer: EmotionRecognizer, faces: FaceDataset = VALID) -> ValidationFigures:
    """Figures on faces, as every epoch computes them."""
    probabilities = recognizer.predict_proba(faces.images).astype(np.float64)
    losses = (faces.targets * np.log(np.maximum(probabilities, 1e-7))).sum(axis=1)
    accuracy = (probabilities.argmax(axis=1) == faces.classes).mean()
    return ValidationFigures(val_loss=float(-losses.mean()), val_accuracy=float(accuracy))


def assert_untouched(mine: EmotionRecognizer, learnt: EmotionRecognizer) -> None:
    (ours,), (theirs,) = mine.weights.values(), learnt.weights.values()
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    assert mine.record.start == figures(learnt)
    assert mine.record.start.val_loss < min(epoch.val_loss for epoch in mine.record.history)
    assert len(mine.record.history) == 3


def test_the_weights_of_the_start_stay_if_no_epoch_is_better(
    learnt: EmotionRecognizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = mini().fit(TRAIN, VALID, recipe=LEAPING, start_from=learnt)
    assert_untouched(mine, learnt)
    assert "No epoch is better than the weights that training started from" in caplog.text
    mine.save_pretrained(tmp_path)
    assert EmotionRecognizer.from_pretrained(tmp_path).record.start == mine.record.start


def test_averaged_weights_leave_those_of_the_start_alone(learnt: EmotionRecognizer) -> None:
    averaged = replace(LEAPING, ema_decay=0.5)
    assert_untouched(mini().fit(TRAIN, VALID, recipe=averaged, start_from=learnt), learnt)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_the_weights_of_the_start_stay_after_an_interruption(
    learnt: EmotionRecognizer, tmp_path: Path, stop: int
) -> None:
    def interrupt(epoch: int) -> None:
        if epoch == stop:
            raise KeyboardInterrupt

    settings = {"recipe": LEAPING, "start_from": learnt, "checkpoint_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt), after_every_epoch(interrupt):
        mini().fit(TRAIN, VALID, **settings)
    assert not list(tmp_path.glob("best-*"))
    said: list[str] = []
    with watching(said.append):
        mine = mini().fit(TRAIN, VALID, **settings)
    assert f"Continuing after epoch {stop}" in said
    assert_untouched(mine, learnt)


def test_an_epoch_that_is_better_takes_the_place_of_the_start(learnt: EmotionRecognizer) -> None:
    longer = replace(LEARNING, phases=(replace(LEARNING.phases[0], epochs=8),), ema_decay=0.5)
    mine = mini().fit(TRAIN, TRAIN, recipe=longer, start_from=learnt)  # to be sure of progress
    assert mine.record.start == figures(learnt, TRAIN)
    best = min(mine.record.history, key=lambda epoch: epoch.val_loss)
    assert best.val_loss < mine.record.start.val_loss
    assert figures(mine, TRAIN).val_loss == pytest.approx(best.val_loss, rel=1e-6)
    assert learnt.record.start is None


def test_the_command_takes_a_model(learnt: EmotionRecognizer, run: Run, tmp_path: Path) -> None:
    learnt.save_pretrained(tmp_path / "first")
    data = write_fer2013(tmp_path / "fer2013.csv", {"Training": TRAIN, "PublicTest": VALID})
    options = ("--data", data, "--out", tmp_path / "second", "--start-from", tmp_path / "first")
    outcome = run("train", *options, "--epochs", "1")
    assert outcome.status == 0, outcome.err
    record = json.loads((tmp_path / "second" / "training.json").read_text())
    assert len(record["started_from"]) == 64
    refused = run("train", *options, "--backbone", "vgg", "--out", tmp_path / "third")
    assert refused.status != 0
    assert "leave out --backbone" in refused.err
    other = ("--detector", "dlib_hog", "--detector-option", "upsample=0", "--out", tmp_path / "4")
    assert run("train", *options, "--epochs", "1", *other).status == 0
    config = json.loads((tmp_path / "4" / "config.json").read_text())
    assert config["detector"]["name"] == "dlib_hog"
    assert config["detector"]["config"]["upsample"] == 0
