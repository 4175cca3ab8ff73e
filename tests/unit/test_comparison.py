"""The comparison of two recognizers, against figures worked out another way."""

import numpy as np
import pytest
from scipy.stats import binom

from emonet.errors import DataError
from emonet.evaluation import plots
from emonet.evaluation.comparison import compare

LABELS = ("a", "b", "c")


def probabilities(predicted: np.ndarray) -> np.ndarray:
    return np.where(np.eye(3)[predicted] == 1, 0.8, 0.1).astype(np.float32)


def predictions(correct: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.where(correct, classes, (classes + 1) % 3)


@pytest.fixture(scope="module")
def compared():
    classes = np.repeat([0, 1], 200)
    first = np.tile(np.arange(200) < 140, 2)
    second = first.copy()
    second[:10] = False  # of class a, only the first is right on 10 faces
    second[140:170] = True  # and only the second on 30
    return compare(
        *(probabilities(predictions(one, classes)) for one in (first, second)), classes, LABELS
    )


def test_the_overall_difference_is_that_of_the_accuracies(compared) -> None:
    overall = compared.overall
    assert (overall.faces, overall.only_first, overall.only_second) == (400, 10, 30)
    assert overall.first == compared.first.accuracy == 0.7
    assert overall.second == compared.second.accuracy == 0.75
    assert overall.difference == pytest.approx(0.05)


def test_the_test_is_mcnemars_exact_one(compared) -> None:
    """By hand: two-sided binomial over the 40 faces where exactly one is right."""
    assert compared.overall.p_value == pytest.approx(2 * binom.cdf(10, 40, 0.5))


def test_the_interval_is_that_of_paired_differences(compared) -> None:
    low, high = compared.overall.interval_95
    half = 1.96 * np.sqrt((40 / 400 - 0.05**2) / 400)  # variance of the differences -1, 0, 1
    assert low == pytest.approx(0.05 - half, abs=0.006)
    assert high == pytest.approx(0.05 + half, abs=0.006)
    # Two unpaired intervals would overlap, and the difference would be missed.
    assert compared.first.accuracy_interval_95[1] > compared.second.accuracy_interval_95[0]
    assert low > 0


def test_classes_are_compared_alone(compared) -> None:
    assert list(compared.per_class) == ["a", "b"]  # c has no face
    assert compared.per_class["a"].difference == pytest.approx(0.1)
    same = compared.per_class["b"]
    assert (same.difference, same.interval_95, same.p_value) == (0, (0, 0), 1)


def test_disagreements_are_counted_by_label(compared) -> None:
    cases = [(one.label, one.first, one.second, one.faces) for one in compared.disagreements]
    assert cases == [("a", "b", "a", 30), ("a", "a", "b", 10)]


def test_the_seed_decides_the_interval() -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 60)
    first, second = (probabilities(random.integers(0, 3, 60)) for _ in range(2))
    one, again, other = (compare(first, second, classes, LABELS, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.overall.interval_95 != other.overall.interval_95


def test_no_face_is_refused() -> None:
    nothing = np.empty((0, 3), np.float32)
    with pytest.raises(DataError):
        compare(nothing, nothing, np.empty(0, np.int64), LABELS)


def test_figures_show_what_was_measured(compared) -> None:
    figure = plots.plot_comparison(compared, "small", "large")
    (axes,) = figure.axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["all faces (400)", "a (200)", "b (200)"]
    assert "large has more than small" in axes.get_xlabel()
    (points, *_) = axes.containers[0]
    np.testing.assert_allclose(points.get_xdata(), [5, 10, 0], atol=1e-9)


def test_reliability_and_coverage_are_drawn() -> None:
    scores = np.array([0.95, 0.95, 0.55, 0.55], np.float32)
    rows = np.stack([scores, 1 - scores], axis=1)
    classes = np.array([0, 0, 0, 1])
    reliability = plots.plot_reliability(rows, classes, "title").axes[0].lines[1]
    np.testing.assert_allclose(reliability.get_xydata(), [[0.55, 0.5], [0.95, 1]], atol=1e-6)
    coverage = plots.plot_coverage(rows, classes, "title").axes[0].lines[0]
    np.testing.assert_allclose(
        coverage.get_xydata(), [[0.25, 1], [0.5, 1], [0.75, 1], [1, 0.75]], atol=1e-6
    )
