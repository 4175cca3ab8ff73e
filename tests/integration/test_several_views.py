"""Test-time augmentation: every answer and figure is the mean over views of each face."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Run
from tests.integration.recognizers import random_tiny

from emonet import EmotionRecognizer, load_dataset
from emonet.errors import ConfigError
from emonet.network.views import views

FACES = make_faces(2, seed=5)
HOG = {"bovw": {"landmarks": False}}


@pytest.fixture(scope="module")
def members(tiny_recognizer: EmotionRecognizer) -> list[EmotionRecognizer]:
    return [
        tiny_recognizer,
        random_tiny(1, features=HOG, face_size=(40, 32)),
    ]


@pytest.mark.parametrize("augmentation", ["horizontal_flip", "shift"])
def test_an_answer_is_the_mean_over_the_views(
    augmentation: str, tiny_recognizer: EmotionRecognizer
) -> None:
    before = tiny_recognizer.predict_proba(FACES.images)
    several = tiny_recognizer.with_test_time_augmentation(augmentation)
    expected = np.mean(
        [tiny_recognizer.predict_proba(view) for view in views(FACES.images, augmentation)], axis=0
    )
    np.testing.assert_allclose(several.predict_proba(FACES.images), expected, atol=2e-6)
    assert np.abs(expected - before).max() > 0.01
    # The recognizer that it came from stays as it is.
    np.testing.assert_array_equal(tiny_recognizer.predict_proba(FACES.images), before)
    assert tiny_recognizer.config.test_time_augmentation == "none"
    assert several.predict_proba([]).shape == (0, 7)


def test_extractors_run_on_each_view_and_members_are_averaged_first(
    members: list[EmotionRecognizer],
) -> None:
    whole = EmotionRecognizer.ensemble(members).with_test_time_augmentation("horizontal_flip")
    expected = np.mean(
        [
            member.with_test_time_augmentation("horizontal_flip").predict_proba(FACES.images)
            for member in members
        ],
        axis=0,
    )
    np.testing.assert_allclose(whole.predict_proba(FACES.images), expected, atol=2e-6)


def test_it_is_refused_where_there_is_no_such_view(tiny_recognizer: EmotionRecognizer) -> None:
    with pytest.raises(ConfigError, match="none, horizontal_flip, shift, got 'flip'"):
        tiny_recognizer.with_test_time_augmentation("flip")


def test_it_is_saved_and_told_and_figures_of_other_views_are_gone(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path, astronaut: Path
) -> None:
    noted = EmotionRecognizer.ensemble([tiny_recognizer])
    noted.note_evaluation("PublicTest", noted.evaluate(FACES))
    several = noted.with_test_time_augmentation("shift")
    assert several.record.evaluation == {}
    assert list(noted.record.evaluation) == ["PublicTest"]
    several.note_evaluation("PublicTest", several.evaluate(FACES))
    several.save_pretrained(tmp_path)
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    assert loaded.config.test_time_augmentation == "shift"
    np.testing.assert_allclose(
        loaded.predict_proba(FACES.images), several.predict_proba(FACES.images), atol=1e-4
    )
    (face,) = loaded.predict(astronaut).faces
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-6)
    card = (tmp_path / "README.md").read_text()
    assert card.count("mean over 10 views") == 2
    assert "single crop" not in card


def test_the_commands_take_it(
    run: Run,
    members: list[EmotionRecognizer],
    tiny_folder: Path,
    fer2013_csv: Path,
    tmp_path: Path,
) -> None:
    data = ("--data", fer2013_csv, "--split", "PublicTest")
    mirror = ("--test-time-augmentation", "horizontal_flip")
    evaluate = ("evaluate", *data, "--model", tiny_folder, "--json")
    (plain,), (several,) = run(*evaluate).records, run(*evaluate, *mirror).records
    recognizer = EmotionRecognizer.from_pretrained(tiny_folder)
    dataset = load_dataset(fer2013_csv, "PublicTest")
    mirrored = recognizer.with_test_time_augmentation("horizontal_flip").evaluate(dataset)
    assert several == json.loads(json.dumps(mirrored.to_dict()))
    assert several["log_loss"] != plain["log_loss"]

    other, out = tmp_path / "other", tmp_path / "whole"
    members[1].save_pretrained(other)
    outcome = run("ensemble", tiny_folder, other, *data, *mirror, "--out", out, "--json")
    (fitted,) = outcome.records
    # The weights were fitted on the mean over views.
    assert fitted["members"]["resnet18"] == mirrored.accuracy
    whole = EmotionRecognizer.from_pretrained(out)
    assert whole.config.test_time_augmentation == "horizontal_flip"
    assert whole.evaluate(dataset).accuracy == fitted["fitted"]
    assert run(*evaluate, "--test-time-augmentation", "flip").status == 2
