"""Accuracy with its interval, figures per class, confusion and calibration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError

__all__ = ["ClassReport", "Report", "expected_calibration_error", "make_report"]

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassReport:
    """One class: precision, recall and F1, each 0..1, and how many faces have it."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Report:
    """A recognizer's figures on one data set; every share is 0..1.

    Attributes:
        n: faces.
        accuracy: share of faces whose most probable class is theirs.
        accuracy_interval_95: Wilson's interval for it.
        macro_f1: mean of the F1 of those classes that have faces.
        per_class: by label.
        confusion: counts, a row per true class, a column per predicted one, in label order.
        log_loss: mean negative log-probability of the true class, nats.
        ece: expected calibration error over 15 equal bins (Guo et al. 2017).
    """

    n: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]
    macro_f1: float
    per_class: Mapping[str, ClassReport]
    confusion: tuple[tuple[int, ...], ...]
    log_loss: float
    ece: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)


def make_report(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64], labels: tuple[str, ...]
) -> Report:
    """Compare predictions with the truth.

    Args:
        probabilities: float (n, k), rows sum to 1.
        classes: int (n,), indices into labels.
        labels: the k labels in column order.

    Raises:
        DataError: there is no face to evaluate on.
    """
    from scipy.stats import binomtest
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    count = len(classes)
    if not count:
        raise DataError("There is no face to evaluate on")
    indices = np.arange(len(labels))
    predicted = probabilities.argmax(axis=1)
    right = int((predicted == classes).sum())
    interval = binomtest(right, count).proportion_ci(method="wilson")
    precision, recall, f1, support = precision_recall_fscore_support(
        classes, predicted, labels=indices, zero_division=0.0
    )
    # Stored probabilities are float32 and sum to 1 only to seven digits.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return Report(
        n=count,
        accuracy=right / count,
        accuracy_interval_95=(float(interval.low), float(interval.high)),
        macro_f1=float(f1[support > 0].mean()),
        per_class={
            label: ClassReport(float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        },
        confusion=tuple(
            tuple(int(cell) for cell in row)
            for row in confusion_matrix(classes, predicted, labels=indices)
        ),
        log_loss=float(log_loss(classes, exact, labels=indices)),
        ece=expected_calibration_error(probabilities, classes),
    )


def expected_calibration_error(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64]
) -> float:
    """Return the mean gap between confidence and accuracy, weighted by the bins' faces."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    gaps = (probabilities.argmax(axis=1) == classes) - confidence
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    sums = np.bincount(bins, weights=gaps, minlength=CALIBRATION_BINS)
    return float(np.abs(sums).sum() / len(classes))
