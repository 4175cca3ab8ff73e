"""The class prior: multiplied after the temperature, saved with the model, calibrated anew."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces

from emonet import EmotionRecognizer
from emonet.errors import ConfigError

COUNTS = {
    "anger": 3995, "disgust": 436, "fear": 4097, "happiness": 7215, "sadness": 4830,
    "surprise": 3171, "neutral": 4965,
}  # fmt: skip
FACES = make_faces(3).images


@pytest.fixture(scope="module")
def recognizer() -> EmotionRecognizer:
    return EmotionRecognizer.from_pretrained("tiny")


def expected(recognizer: EmotionRecognizer, shares: np.ndarray, strength: float) -> np.ndarray:
    counts = np.array([COUNTS[label] for label in recognizer.labels], float)
    weighted = recognizer.predict_proba(FACES) * (shares / (counts / counts.sum())) ** strength
    return weighted / weighted.sum(axis=1, keepdims=True)


def test_the_bundled_models_know_how_many_faces_each_class_had() -> None:
    for name in ("default", "fast", "tiny"):
        config = EmotionRecognizer.from_pretrained(name).config
        assert config.training_counts == COUNTS
        assert config.prior is None


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_balanced_divides_by_the_training_shares(
    recognizer: EmotionRecognizer, strength: float
) -> None:
    changed = recognizer.with_prior("balanced", strength=strength)
    probabilities = changed.predict_proba(FACES)
    wanted = expected(recognizer, np.full(7, 1 / 7), strength)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert recognizer.config.prior is None
    assert changed.record.evaluation == {}


def test_shares_are_of_each_label_and_need_not_sum_to_1(recognizer: EmotionRecognizer) -> None:
    shares = {label: index + 1 for index, label in enumerate(recognizer.labels)}
    probabilities = recognizer.with_prior(shares).predict_proba(FACES)
    wanted = expected(recognizer, np.arange(1, 8) / 28, 1)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-6)


def test_training_removes_a_prior(recognizer: EmotionRecognizer) -> None:
    back = recognizer.with_prior("balanced").with_prior("training")
    assert back.config == recognizer.config
    np.testing.assert_array_equal(back.predict_proba(FACES), recognizer.predict_proba(FACES))
    assert recognizer.with_prior("training").record == recognizer.record


def test_a_prior_is_saved_with_the_model(recognizer: EmotionRecognizer, tmp_path: Path) -> None:
    changed = recognizer.with_prior("balanced", strength=0.5)
    changed.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["prior"]["strength"] == 0.5
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    assert loaded.config.prior == changed.config.prior
    np.testing.assert_allclose(loaded.predict_proba(FACES), changed.predict_proba(FACES), atol=1e-6)


def test_calibration_keeps_the_prior(recognizer: EmotionRecognizer) -> None:
    data = make_faces(8, seed=4)
    changed = recognizer.with_prior("balanced").calibrate(data)
    assert changed.config.prior is not None
    plain = EmotionRecognizer.from_pretrained("tiny").calibrate(data)
    assert changed.config.temperature != plain.config.temperature
    calibration = changed.record.calibration
    assert calibration.after.log_loss <= calibration.before.log_loss + 0.05


def test_a_model_without_counts_takes_them(recognizer: EmotionRecognizer) -> None:
    new = EmotionRecognizer()
    with pytest.raises(ConfigError, match="does not know how many training faces"):
        new.with_prior("balanced")
    counts = dict.fromkeys(new.labels, 5)
    assert new.with_prior("balanced", training=counts).config.class_factors == pytest.approx(
        [1] * 7
    )
    with pytest.raises(ConfigError, match="training_counts"):
        new.with_prior("balanced", training={"anger": 3})


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("uniform", "must be 'balanced', 'training' or a share"),
        (3, "must be 'balanced'"),
        ({"anger": 1}, "a share for each of anger, disgust"),
        (dict.fromkeys(COUNTS, 0), "prior: anger must be a number"),
        ({**COUNTS, "fear": float("nan")}, "prior: fear must be a number"),
        ({**COUNTS, "fear": -1}, "prior: fear must be"),
        ({**COUNTS, "fear": "much"}, "prior: fear must be"),
        ({**COUNTS, "fear": float("inf")}, "finite"),
        ({**COUNTS, "fear": 1e12}, "prior.shares"),
    ],
)
def test_a_bad_prior_is_refused(recognizer: EmotionRecognizer, prior: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recognizer.with_prior(prior)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), "1", None])
def test_a_bad_strength_is_refused(recognizer: EmotionRecognizer, strength: object) -> None:
    with pytest.raises(ConfigError, match="strength must be a number"):
        recognizer.with_prior("balanced", strength=strength)


def test_a_member_with_a_prior_is_refused(recognizer: EmotionRecognizer) -> None:
    fast = EmotionRecognizer.from_pretrained("fast").with_prior("balanced")
    with pytest.raises(ConfigError, match="class prior can't be a member"):
        EmotionRecognizer.ensemble([recognizer, fast])
