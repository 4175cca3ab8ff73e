"""``emonet evaluate``: measure a recognizer on one split of a data set."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from emonet.cli.backend import prepare
from emonet.cli.options import (
    AsJson,
    BatchSize,
    Data,
    Groups,
    Model,
    OnDevice,
    Runtime,
    Views,
    load_faces,
    load_group_column,
)
from emonet.cli.printing import print_line, print_table
from emonet.data import FaceDataset
from emonet.data.groups import as_groups
from emonet.data.splits import split_name
from emonet.errors import ConfigError, printable
from emonet.evaluation import plots as draw
from emonet.evaluation.groups import reports_by_group
from emonet.evaluation.report import make_report
from emonet.evaluation.robustness import CHANGES
from emonet.recognizer import EmotionRecognizer
from emonet.records import Report
from emonet.runtimes.batching import BATCH_SIZE
from emonet.storage.update import require_folder, update_model
from emonet.support.counting import counted
from emonet.support.dependencies import require
from emonet.support.files import atomic_write
from emonet.support.progress import progress_bar


def evaluate(
    data: Data,
    split: Annotated[
        str, typer.Option(help="Training, PublicTest or PrivateTest (or train, validation, test).")
    ],
    model: Model = None,
    test_time_augmentation: Views = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also measure the accuracy on changed faces."),
    ] = False,
    note: Annotated[
        bool,
        typer.Option("--note", help="Save the figures in the model folder and its card."),
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Write a CSV file with the prediction for each face.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="Draw the confusion matrix, calibration and coverage in this folder."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Also measure each group of this column."),
    ] = None,
    groups: Groups = None,
    runtime: Runtime = None,
    device: OnDevice = "auto",
    batch_size: BatchSize = BATCH_SIZE,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy, confusion and calibration on face crops."""
    require("evaluate", "emonet evaluate")
    if plots is not None:
        require("plots", "--plots")
    if groups is not None and group_by is None:
        raise ConfigError("--groups needs --group-by with the column of the groups")
    folder = require_folder(model) if note else None
    # --note needs the folder, even if a bundled model has the same name.
    recognizer = EmotionRecognizer.from_pretrained(
        folder or model, runtime=runtime, device=device, batch_size=batch_size
    )
    own = recognizer.config.test_time_augmentation
    quantised = any(part.graph_precision != "float32" for part in recognizer.config.networks)
    if note and runtime == "keras" and quantised:
        raise ConfigError(
            "--note saves figures of the model's int8 graphs, and Keras computes in float32: "
            "leave out --runtime keras"
        )
    if note and test_time_augmentation not in (None, own):
        raise ConfigError(
            f"--note saves figures with the model's own test-time augmentation, {own}: leave out "
            f"--test-time-augmentation {test_time_augmentation}"
        )
    if test_time_augmentation is not None:
        recognizer = recognizer.with_test_time_augmentation(test_time_augmentation)
    dataset = load_faces(data, split, recognizer).with_labels(recognizer.labels)
    names = None
    if group_by is not None:
        column = load_group_column(data, dataset, group_by, groups)
        names = as_groups(column, len(dataset))
    prepare(recognizer)
    probabilities = recognizer.predict_proba(dataset.images)
    report = make_report(probabilities, dataset.classes, dataset.labels)
    by_group = {}
    if names is not None:
        by_group = reports_by_group(probabilities, dataset.classes, dataset.labels, names)
    if predictions is not None:
        _write_predictions(predictions, data, dataset, probabilities)
    if plots is not None:
        _draw(plots, report, dataset, probabilities, split_name(data, split))
    measured = None
    if robustness:
        with progress_bar("Robustness", 1 + len(CHANGES)) as advance:
            measured = recognizer.measure_robustness(dataset, advance=advance)
    if folder is not None:
        name = split_name(data, split)
        update_model(
            folder,
            lambda stored: replace(
                stored, record=stored.record.with_evaluation(name, report, measured)
            ),
        )
    if as_json:
        more: dict[str, object] = {}
        if measured is not None:
            more["robustness"] = measured.to_dict()
        if by_group:
            more["groups"] = {name: part.to_dict() for name, part in by_group.items()}
        print(json.dumps({**report.to_dict(), **more}))
        return
    _print(report)
    if by_group:
        _print_groups(by_group)
    if measured is not None:
        rows = [("unchanged", f"{measured.unchanged:.4f}", "")]
        rows += [
            (name, f"{accuracy:.4f}", f"{measured.drop(name):.2f}")
            for name, accuracy in measured.changed.items()
        ]
        print_table(("change", "accuracy", "points lost"), rows)


def _write_predictions(
    file: Path, data: Path, dataset: FaceDataset, probabilities: NDArray[np.float32]
) -> None:
    """Write where each face comes from, its true and its predicted label, and probabilities."""
    labels, sources = dataset.labels, dataset.sources
    if sources is None:
        raise ConfigError("--predictions needs faces of a file or a folder")
    with atomic_write(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["path", "line", "label", "predicted", "score", *labels])
        for source, true, row in zip(
            sources.tolist(), dataset.classes.tolist(), probabilities.tolist(), strict=True
        ):
            place = (source, None) if isinstance(source, str) else (data, source)
            best = row.index(max(row))
            rows.writerow([*place, labels[true], labels[best], row[best], *row])


def _draw(
    folder: Path,
    report: Report,
    dataset: FaceDataset,
    probabilities: NDArray[np.float32],
    name: str,
) -> None:
    """Draw the confusion matrix, the reliability diagram and the coverage curve."""
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{name}, {counted(report.n, 'face')}"
    figures = {
        "confusion": draw.plot_confusion(report, title),
        "reliability": draw.plot_reliability(probabilities, dataset.classes, title),
        "coverage": draw.plot_coverage(probabilities, dataset.classes, title),
    }
    for stem, figure in figures.items():
        draw.save_figure(figure, folder / f"{stem}.png")


def _print_groups(reports: Mapping[str, Report]) -> None:
    from rich.text import Text

    rows: list[list[str | Text]] = []
    for name, report in reports.items():
        low, high = report.accuracy_interval_95
        accuracy = [f"{report.accuracy:.4f}", f"{low:.4f} to {high:.4f}"]
        rows.append([Text(printable(name)), str(report.n), *accuracy, f"{report.macro_f1:.4f}"])
    print_table(("group", "faces", "accuracy", "95 % interval", "macro F1"), rows)


def _print(report: Report) -> None:
    from rich.text import Text

    low, high = report.accuracy_interval_95
    print_line(
        f"accuracy {report.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}) on "
        f"{counted(report.n, 'face')}, macro F1 {report.macro_f1:.4f}, "
        f"log loss {report.log_loss:.4f}, calibration error {report.ece:.4f}"
    )
    figures: list[list[str | Text]] = [
        [Text(label), *(f"{x:.3f}" for x in (row.precision, row.recall, row.f1)), str(row.support)]
        for label, row in report.per_class.items()
    ]
    print_table(("class", "precision", "recall", "F1", "faces"), figures)
    # Columns have numbers, because names would not fit the width of a terminal.
    numbers = [str(index + 1) for index in range(len(figures))]
    confusion: list[list[str | Text]] = [
        [Text(f"{number} {label}"), *map(str, counts)]
        for number, label, counts in zip(numbers, report.per_class, report.confusion, strict=True)
    ]
    print_table(("true \\ predicted", *numbers), confusion)
