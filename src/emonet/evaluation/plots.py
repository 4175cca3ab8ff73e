"""Figures of data, training and results, by matplotlib: ``pip install 'emonet[plots]'``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import MissingDependencyError
from emonet.evaluation.report import Report
from emonet.files import beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "plot_class_distribution",
    "plot_confusion",
    "plot_learning_curves",
    "plot_samples",
    "save_figure",
]


def plot_class_distribution(
    counts: Mapping[str, NDArray[np.int64]], labels: tuple[str, ...]
) -> "Figure":
    """Draw how many faces of each class every split has (the seed paper's Figure 7).

    Args:
        counts: by split, (len(labels),).
        labels: the classes.
    """
    figure = _figure(8, 4)
    axes = figure.subplots()
    width = 0.8 / len(counts)
    for index, (split, numbers) in enumerate(counts.items()):
        axes.bar(np.arange(len(labels)) + index * width, numbers, width, label=split)
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
    """Show faces with their true and their predicted label (the seed paper's Figure 8).

    Args:
        faces: uint8 (n, height, width) grey.
        classes: (n,), indices into labels.
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
            f"true {labels[true]}\nsaid {labels[best]} {row[best]:.2f}",
            fontsize=8,
            color="black" if best == true else "firebrick",
        )
    return figure


def plot_learning_curves(histories: Mapping[str, Sequence[Any]]) -> "Figure":
    """Draw training and validation accuracy over the epochs.

    Args:
        histories: EpochRecords by the name of the network.
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
    """Draw which class was taken for which, in shares of the true class."""
    labels = list(report.per_class)
    counts = np.array(report.confusion, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(6, 5.4)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG."""
    with beside(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _figure(width: float, height: float) -> "Figure":
    """Make a figure (inches) that belongs to no window and no global state."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f"Figures need matplotlib ({error}): pip install 'emonet[plots]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")
