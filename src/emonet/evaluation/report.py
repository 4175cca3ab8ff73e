"""Report: accuracy with its interval, metrics per class, confusion and calibration."""

import numpy as np
from numpy.typing import NDArray

from emonet.errors import DataError
from emonet.records import ClassReport, Report

CALIBRATION_BINS = 15


def make_report(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64], labels: tuple[str, ...]
) -> Report:
    """Compute the metrics of predictions.

    Args:
        probabilities: float32 (n, k), rows sum to 1.
        classes: true classes, int64 (n,), indices into labels.
        labels: the k labels in column order.

    Raises:
        DataError: there is no face to evaluate on.
    """
    from scipy.stats import binomtest
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

    count = len(classes)
    if not count:
        raise DataError("Cannot evaluate on 0 faces: pass at least one")
    indices = np.arange(len(labels))
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == classes).sum())
    interval = binomtest(correct, count).proportion_ci(method="wilson")
    precision, recall, f1, support = precision_recall_fscore_support(
        classes, predicted, labels=indices, zero_division=0.0
    )
    # float32 probabilities sum to 1 only to seven digits, and log_loss checks the sum.
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return Report(
        n=count,
        accuracy=correct / count,
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
    """Return the mean gap between confidence and accuracy over 15 bins, weighted by faces."""
    binned = binned_gaps(probabilities, classes)
    return float(binned_errors(binned, np.arange(len(classes))[None])[0])


def binned_gaps(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return accuracy minus confidence of each face (n,), and the bin of its confidence (n,)."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    gaps = (probabilities.argmax(axis=1) == classes) - confidence
    return gaps, np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)


def binned_errors(
    binned: tuple[NDArray[np.float64], NDArray[np.int64]], samples: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the expected calibration error of samples of faces, indices (k, n), as (k,)."""
    gaps, bins = binned
    cells = bins[samples] + CALIBRATION_BINS * np.arange(len(samples))[:, None]
    sums = np.bincount(cells.ravel(), gaps[samples].ravel(), CALIBRATION_BINS * len(samples))
    return np.asarray(np.abs(sums).reshape(len(samples), -1).sum(axis=1) / samples.shape[1])
