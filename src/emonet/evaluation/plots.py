"""Plots of data, training and results with matplotlib: ``pip install 'emonet[plots]'``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.evaluation.calibration import coverage_curve
from emonet.evaluation.report import CALIBRATION_BINS
from emonet.records import Comparison, Report
from emonet.support.dependencies import require
from emonet.support.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_class_distribution(
    counts: Mapping[str, NDArray[np.int64]], labels: tuple[str, ...]
) -> "Figure":
    """Plot the number of faces per class and split (the paper's Figure 7).

    Args:
        counts: number of faces of each class by split, int64 (len(labels),).
        labels: the classes.
    """
    figure = _figure(8, 4)
    axes = figure.subplots()
    width = 0.8 / len(counts)
    for index, (split, faces) in enumerate(counts.items()):
        axes.bar(np.arange(len(labels)) + index * width, faces, width, label=split)
    axes.set_xticks(np.arange(len(labels)) + 0.4 - width / 2, labels)
    axes.set_ylabel("faces")
    axes.legend()
    return figure


def plot_samples(
    faces: NDArray[np.uint8],
    classes: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    labels: tuple[str, ...],
) -> "Figure":
    """Plot faces with their true and predicted labels (the paper's Figure 8).

    Args:
        faces: uint8 (n, height, width) grey.
        classes: true classes, int64 (n,), indices into labels.
        probabilities: float32 (n, len(labels)).
        labels: the classes.
    """
    columns = 6
    rows = -(-len(faces) // columns)
    figure = _figure(1.7 * columns, 2.1 * rows)
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in grid:
        axes.axis("off")
    for axes, face, true, row in zip(grid, faces, classes, probabilities, strict=False):
        best = int(row.argmax())
        axes.imshow(face, cmap="gray", vmin=0, vmax=255)
        axes.set_title(
            f"true {labels[true]}\npredicted {labels[best]} {row[best]:.2f}",
            fontsize=8,
            color="black" if best == true else "firebrick",
        )
    return figure


def plot_learning_curves(histories: Mapping[str, Sequence[Any]]) -> "Figure":
    """Plot training and validation accuracy per epoch.

    Args:
        histories: EpochRecords by network name.
    """
    figure = _figure(8, 5)
    axes = figure.subplots()
    for index, (name, history) in enumerate(histories.items()):
        epochs = [record.epoch for record in history]
        colour = f"C{index}"
        axes.plot(epochs, [r.val_accuracy for r in history], color=colour, label=name)
        axes.plot(epochs, [r.accuracy for r in history], color=colour, linestyle=":")
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy; dotted: on augmented training faces")
    axes.legend()
    return figure


def plot_confusion(report: Report, title: str) -> "Figure":
    """Plot the confusion matrix; each row is normalised by the faces of the true class."""
    labels = list(report.per_class)
    counts = np.array(report.confusion, float)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(6, 5.4)
    axes = figure.subplots()
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(fractions):
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return figure


def plot_reliability(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64], title: str
) -> "Figure":
    """Plot accuracy against the score, over a histogram of the scores.

    Args:
        probabilities: float32 (n, k).
        classes: true classes, int64 (n,).
        title: headline.
    """
    from sklearn.calibration import calibration_curve

    scores, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    accuracies, means = calibration_curve(correct, scores.clip(0, 1), n_bins=CALIBRATION_BINS)
    figure = _figure(5.4, 5.4)
    axes, counts = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    axes.plot((0, 1), (0, 1), color="grey", linestyle="--", label="perfectly calibrated")
    axes.plot(means, accuracies, marker="o", label="measured")
    axes.set_ylabel("accuracy")
    axes.set_ylim(0, 1.02)
    axes.set_title(title)
    axes.legend()
    counts.hist(scores, bins=CALIBRATION_BINS, range=(0, 1))
    counts.set_ylabel("faces")
    counts.set_xlabel("score")
    return figure


def plot_coverage(
    probabilities: NDArray[np.float32], classes: NDArray[np.int64], title: str
) -> "Figure":
    """Plot the accuracy on the faces with the highest scores against their share.

    Args:
        probabilities: float32 (n, k).
        classes: true classes, int64 (n,).
        title: headline.
    """
    scores, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == classes
    order = np.argsort(-scores, kind="stable")
    kept = np.arange(1, len(scores) + 1)
    figure = _figure(6, 4.5)
    axes = figure.subplots()
    axes.plot(kept / len(scores), correct[order].cumsum() / kept)
    for point in coverage_curve(probabilities, classes)[1:]:
        if point.accuracy is not None:
            axes.plot(point.coverage, point.accuracy, "o", color="C0")
            axes.annotate(
                f"min_score {point.min_score}", (point.coverage, point.accuracy),
                xytext=(-6, -8), textcoords="offset points", ha="right", fontsize=8,
            )  # fmt: skip
    axes.set_xlabel("coverage: share of faces that keep their label")
    axes.set_ylabel("accuracy on these faces")
    axes.set_xlim(0, 1.02)
    axes.set_title(title)
    return figure


def plot_comparison(comparison: Comparison, first: str, second: str) -> "Figure":
    """Plot the difference of accuracy per class, in points, with its 95 % interval.

    Args:
        comparison: of two recognizers.
        first: name of the first one.
        second: name of the second one.
    """
    rows = {"all faces": comparison.overall, **comparison.per_class}
    differences = np.array([row.difference for row in rows.values()])
    intervals = np.array([row.interval_95 for row in rows.values()]).T
    places = np.arange(len(rows))[::-1]
    figure = _figure(7, 1.2 + 0.4 * len(rows))
    axes = figure.subplots()
    axes.axvline(0, color="grey", linewidth=1)
    errors = 100 * np.abs(intervals - differences)
    axes.errorbar(100 * differences, places, xerr=errors, fmt="o", capsize=3)
    axes.set_yticks(places, [f"{name} ({row.faces})" for name, row in rows.items()])
    axes.set_xlabel(f"points of accuracy that {second} has more than {first}, 95 % interval")
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Save a figure as a PNG file."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _figure(width: float, height: float) -> "Figure":
    """Return a new figure (inches) outside pyplot's global state."""
    require("plots", "Plotting")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
