"""A report's figures, against values worked out by hand."""

import json
import math

import numpy as np
import pytest

from emonet.errors import DataError
from emonet.evaluation.report import expected_calibration_error, make_report

LABELS = ("a", "b", "c")
# Three of five are right; c is never predicted.
CLASSES = np.array([0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [
        [0.85, 0.10, 0.05],
        [0.30, 0.65, 0.05],
        [0.20, 0.70, 0.10],
        [0.10, 0.50, 0.40],
        [0.10, 0.50, 0.40],
    ],
    np.float32,
)


@pytest.fixture(scope="module")
def report():
    return make_report(PROBABILITIES, CLASSES, LABELS)


def perfect(count):
    classes = np.arange(count) % 3
    return np.eye(3, dtype=np.float32)[classes], classes


def test_accuracy_is_the_share_of_faces_that_are_right(report):
    assert report.n == 5
    assert report.accuracy == pytest.approx(3 / 5)


def test_interval_is_wilsons(report):
    z, n, share = 1.959964, 5, 0.6
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert report.accuracy_interval_95 == pytest.approx((centre - reach, centre + reach), abs=1e-6)
    assert report.accuracy_interval_95 == pytest.approx((0.2307, 0.8824), abs=1e-4)


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0, 0.2775), (10, 0.7225, 1)])
def test_interval_stays_within_0_and_1(right, low, high):
    probabilities = np.eye(3, dtype=np.float32)[[0] * right + [1] * (10 - right)]
    report = make_report(probabilities, np.zeros(10, int), LABELS)
    assert report.accuracy_interval_95 == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("label", "precision", "recall", "f1", "support"),
    [("a", 1, 1 / 2, 2 / 3, 2), ("b", 2 / 4, 1, 2 / 3, 2), ("c", 0, 0, 0, 1)],
)
def test_figures_of_each_class(label, precision, recall, f1, support, report):
    figures = report.per_class[label]
    assert figures.precision == pytest.approx(precision)
    assert figures.recall == pytest.approx(recall)
    assert figures.f1 == pytest.approx(f1)
    assert figures.support == support


def test_macro_f1_is_the_mean_of_the_classes(report):
    assert report.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_confusion_counts_true_by_predicted(report):
    assert report.confusion == ((1, 1, 0), (0, 2, 0), (0, 1, 0))


def test_log_loss_is_the_mean_negative_log_probability_of_the_truth(report):
    expected = -sum(math.log(p) for p in (0.85, 0.30, 0.70, 0.50, 0.40)) / 5
    assert report.log_loss == pytest.approx(expected, rel=1e-6)


def test_calibration_error_weighs_the_gaps_of_15_bins(report):
    # The bin of both 0.5 is right in half of its cases: its gaps cancel.
    gaps = [1 - 0.85, 0 - 0.65, 1 - 0.70, (1 - 0.5) + (0 - 0.5)]
    assert report.ece == pytest.approx(sum(map(abs, gaps)) / 5, rel=1e-5)


def test_perfect_and_sure_predictions_have_no_error():
    report = make_report(*perfect(9), LABELS)
    assert (report.accuracy, report.macro_f1, report.ece) == (1, 1, 0)
    assert report.log_loss == pytest.approx(0, abs=1e-9)
    assert report.confusion == ((3, 0, 0), (0, 3, 0), (0, 0, 3))


def test_sure_and_wrong_predictions_have_a_finite_loss():
    probabilities, classes = perfect(9)
    report = make_report(probabilities, (classes + 1) % 3, LABELS)
    assert report.accuracy == 0
    assert report.ece == pytest.approx(1)
    assert 10 < report.log_loss < 100


def test_single_face_can_be_evaluated():
    report = make_report(PROBABILITIES[:1], CLASSES[:1], LABELS)
    assert (report.n, report.accuracy) == (1, 1)
    assert report.per_class["b"].support == 0


def test_class_without_faces_is_in_the_report():
    report = make_report(PROBABILITIES[:4], CLASSES[:4], LABELS)
    assert list(report.per_class) == list(LABELS)
    figures = report.per_class["c"]
    assert (figures.precision, figures.recall, figures.f1, figures.support) == (0, 0, 0, 0)
    assert report.confusion[2] == (0, 0, 0)


def test_probabilities_in_seven_digits_are_good_enough():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 2000).astype(np.float32) * (1 + 1e-6)
    report = make_report(probabilities.astype(np.float32), random.integers(0, 3, 2000), LABELS)
    assert math.isfinite(report.log_loss)


def test_nothing_to_evaluate_on_is_a_data_error():
    with pytest.raises(DataError, match="Cannot evaluate on 0 faces"):
        make_report(np.empty((0, 3), np.float32), np.empty(0, np.int64), LABELS)


def test_report_as_a_dict_is_json(report):
    again = json.loads(json.dumps(report.to_dict()))
    assert again["accuracy"] == report.accuracy
    assert again["confusion"] == [[1, 1, 0], [0, 2, 0], [0, 1, 0]]
    assert again["per_class"]["a"]["support"] == 2


def test_well_calibrated_predictions_have_a_small_calibration_error():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 20_000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    classes = (random.uniform(size=20_000) > confidence).astype(int)
    assert expected_calibration_error(probabilities, classes) < 0.02
    overconfident = np.where(probabilities > 0.5, 0.999, 0.001).astype(np.float32)
    assert expected_calibration_error(overconfident, classes) == pytest.approx(0.25, abs=0.01)
