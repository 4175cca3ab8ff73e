"""Training that goes on from a trained network's weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces, write_fer2013
from tests.integration.conftest import Run
from tests.integration.recognizers import mini, with_random_weights

from emonet import EmotionRecognizer, HeadConfig, Phase, Recipe
from emonet.config import Framing
from emonet.errors import ConfigError, TrainingError, WeightsError
from emonet.labels import FER2013

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
    assert again.training.started_from is not None
    assert again.training.before == (learnt.training,)
    assert learnt.training.started_from is None
    assert learnt.training.before == ()


def test_a_recognizer_can_train_on_from_itself(learnt: EmotionRecognizer, tmp_path: Path) -> None:
    learnt.save_pretrained(tmp_path)
    mine = EmotionRecognizer.from_pretrained(tmp_path)
    mine.fit(TRAIN, VALID, recipe=LEARNING, start_from=mine)
    assert mine.training.history[0].loss < learnt.training.history[0].loss
    mine.save_pretrained(tmp_path / "further")
    (read,) = EmotionRecognizer.from_pretrained(tmp_path / "further").training.before
    assert read.history == learnt.training.history


def test_the_record_of_a_model_that_is_trained_on_and_on_has_an_end(
    learnt: EmotionRecognizer,
) -> None:
    mine = mini().fit(TRAIN, VALID, recipe=STANDING, start_from=learnt, seed=0)
    for seed in range(1, 10):
        mine.fit(TRAIN, VALID, recipe=STANDING, start_from=mine, seed=seed)
    assert [run.seed for run in mine.training.before] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert not any(run.before for run in mine.training.before)


def test_weights_of_which_nothing_is_known_start_a_run(learnt: EmotionRecognizer) -> None:
    unknown = with_random_weights(EmotionRecognizer.like(learnt))
    again = mini().fit(TRAIN, VALID, recipe=STANDING, start_from=unknown)
    assert again.training.started_from is not None
    assert again.training.before == ()


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
    mine._config = replace(mine.config, framing=elsewhere)
    mine.fit(TRAIN, VALID, recipe=STANDING, start_from=learnt)
    assert mine.config.framing.keys() == {"dlib_hog"}
    assert mine.config.framing_for("yunet").scale < 2
    # A detector without boxes of its own measures nothing: what was known is better than that.
    whole = mini()
    whole._config = replace(whole.config, framing=elsewhere)
    assert whole.fit(TRAIN, VALID, recipe=STANDING, start_from=learnt).config.framing == elsewhere


def test_what_can_not_be_started_from_is_refused(learnt: EmotionRecognizer) -> None:
    both = EmotionRecognizer.ensemble([learnt, learnt])
    with pytest.raises(ConfigError, match="one network, got an ensemble of 2: mini, mini_2"):
        mini().fit(TRAIN, VALID, recipe=STANDING, start_from=both)
    wider = mini(head=HeadConfig(units=(7,)))
    with pytest.raises(WeightsError, match="the model to start from"):
        wider.fit(TRAIN, VALID, recipe=STANDING, start_from=learnt)


def test_a_run_is_not_resumed_from_another_start(learnt: EmotionRecognizer, tmp_path: Path) -> None:
    mini().fit(TRAIN, VALID, recipe=STANDING, start_from=learnt, checkpoint_dir=tmp_path)
    other = mini().fit(TRAIN, VALID, recipe=LEARNING, seed=5)
    with pytest.raises(TrainingError, match="another started_from"):
        mini().fit(TRAIN, VALID, recipe=STANDING, start_from=other, checkpoint_dir=tmp_path)
    with pytest.raises(TrainingError, match="another started_from"):
        mini().fit(TRAIN, VALID, recipe=STANDING, checkpoint_dir=tmp_path)


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
