"""Temperature and coverage, on probabilities whose true temperature is known."""

import numpy as np
import pytest

from emonet.evaluation.calibration import coverage_curve, fit_temperature, perfect_ece
from emonet.evaluation.report import expected_calibration_error
from emonet.network.ensemble import apply_temperature


def drawn(temperature: float, *, faces: int = 20_000, seed: int = 0):
    """Probabilities that are right once they are divided by this temperature, and classes."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1.5, (faces, 7))
    true = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    classes = (true.cumsum(axis=1) > random.random((faces, 1))).argmax(axis=1)
    said = np.exp(temperature * scores)
    return (said / said.sum(axis=1, keepdims=True)).astype(np.float32), classes


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.7, 4.0])
def test_the_temperature_that_was_put_in_is_found(temperature):
    probabilities, classes = drawn(temperature)
    found = fit_temperature(probabilities, classes)
    assert found == pytest.approx(temperature, rel=0.03)
    elsewhere, other_classes = drawn(temperature, seed=1)
    after = apply_temperature(elsewhere, found)
    assert expected_calibration_error(after, other_classes) < 0.015
    np.testing.assert_array_equal(after.argmax(axis=1), elsewhere.argmax(axis=1))


def test_perfect_scores_show_an_error_that_shrinks_with_the_number_of_faces():
    few, classes = drawn(1.0, faces=500)
    many, _ = drawn(1.0, faces=20_000)
    assert perfect_ece(few) > 3 * perfect_ece(many)
    # The real labels are one more such draw.
    assert expected_calibration_error(few, classes) == pytest.approx(perfect_ece(few), rel=0.5)


def test_it_stays_within_bounds_where_nothing_limits_it():
    sure = np.array([[0.9, 0.1], [0.1, 0.9]], np.float32)
    assert fit_temperature(sure, np.array([0, 1])) == pytest.approx(0.1, abs=1e-3)
    assert fit_temperature(sure, np.array([1, 0])) == pytest.approx(10, abs=1e-3)


def test_a_probability_of_zero_for_the_truth_does_not_break_it():
    probabilities, classes = drawn(2.0, faces=500)
    probabilities[0] = np.eye(7)[(classes[0] + 1) % 7]
    assert 1 < fit_temperature(probabilities, classes) < 10


def test_coverage_falls_as_the_lowest_score_rises():
    probabilities = np.array([[0.95, 0.05], [0.3, 0.7], [0.65, 0.35], [0.45, 0.55]], np.float32)
    curve = coverage_curve(probabilities, np.array([0, 1, 1, 1]))
    assert [(point.min_score, point.coverage, point.accuracy) for point in curve] == [
        (0.0, 1.0, 0.75),
        (0.4, 1.0, 0.75),
        (0.5, 1.0, 0.75),
        (0.6, 0.75, pytest.approx(2 / 3)),
        (0.7, 0.25, 1.0) if probabilities[1, 1] < 0.7 else (0.7, 0.5, 1.0),
        (0.8, 0.25, 1.0),
        (0.9, 0.25, 1.0),
    ]
    assert coverage_curve(probabilities[3:], np.array([1]))[-1].accuracy is None


def test_a_temperature_at_the_end_of_the_search_is_told(caplog):
    sure = np.tile(np.array([0.9, 0.1], np.float32), (20, 1))
    assert fit_temperature(sure, np.zeros(20, np.int64)) == pytest.approx(0.1, rel=1e-2)
    assert "labels 100 % of 20 faces correctly" in caplog.text
