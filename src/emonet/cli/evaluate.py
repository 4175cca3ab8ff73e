"""``emonet evaluate``: measure a recognizer on one split of a data set."""

import json
from dataclasses import replace
from typing import Annotated

import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson, Data, Model, OnDevice, Runtime, Views, load_faces
from emonet.cli.printing import print_line, print_table
from emonet.data.splits import split_name
from emonet.errors import ConfigError
from emonet.evaluation.robustness import CHANGES
from emonet.recognizer import EmotionRecognizer
from emonet.records import Report
from emonet.storage.update import require_folder, update_model
from emonet.support.counting import counted
from emonet.support.dependencies import require
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
    runtime: Runtime = None,
    device: OnDevice = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure accuracy, confusion and calibration on face crops."""
    require("evaluate", "emonet evaluate")
    folder = require_folder(model) if note else None
    # --note needs the folder, even if a bundled model has the same name.
    recognizer = EmotionRecognizer.from_pretrained(folder or model, runtime=runtime, device=device)
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
    dataset = load_faces(data, split, recognizer)
    prepare(recognizer)
    report = recognizer.evaluate(dataset)
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
        more = {} if measured is None else {"robustness": measured.to_dict()}
        print(json.dumps({**report.to_dict(), **more}))
        return
    _print(report)
    if measured is not None:
        rows = [("unchanged", f"{measured.unchanged:.4f}", "")]
        rows += [
            (name, f"{accuracy:.4f}", f"{measured.drop(name):.2f}")
            for name, accuracy in measured.changed.items()
        ]
        print_table(("change", "accuracy", "points lost"), rows)


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
