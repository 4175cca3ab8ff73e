"""``emonet evaluate``: a recognizer's figures on one split of a data set."""

import json
from typing import Annotated

import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson, Data, Model, Runtime, Views, load_faces
from emonet.data import FaceDataset
from emonet.data.splits import split_name
from emonet.errors import ConfigError
from emonet.evaluation.report import Report
from emonet.evaluation.robustness import CHANGES, Robustness
from emonet.recognizer import EmotionRecognizer
from emonet.storage.update import require_folder, update_folder
from emonet.training.progress import progress_bar

__all__ = ["evaluate"]


def evaluate(
    data: Data,
    split: Annotated[
        str, typer.Option(help="Training, PublicTest or PrivateTest (or train, validation, test).")
    ],
    model: Model = None,
    test_time_augmentation: Views = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also measure what changes to the faces cost."),
    ] = False,
    note: Annotated[
        bool,
        typer.Option("--note", help="Write the figures into the model folder and its card."),
    ] = False,
    runtime: Runtime = None,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy, figures per class, confusion and calibration on face crops."""
    folder = require_folder(model) if note else None
    # A folder, and not the bundled model of that name: it is where the figures will stand.
    recognizer = EmotionRecognizer.from_pretrained(folder or model, runtime=runtime)
    own = recognizer.config.test_time_augmentation
    quantised = any(part.graph_precision != "float32" for part in recognizer.config.networks)
    if note and runtime == "keras" and quantised:
        raise ConfigError(
            "--note writes down what the model does by itself, which is to compute in int8: "
            "leave out --runtime keras"
        )
    if note and test_time_augmentation not in (None, own):
        raise ConfigError(
            f"--note writes down the model's own figures, whose test-time augmentation is "
            f"{own}: leave out --test-time-augmentation {test_time_augmentation}"
        )
    if test_time_augmentation is not None:
        recognizer = recognizer.with_test_time_augmentation(test_time_augmentation)
    dataset = load_faces(data, split, recognizer)
    prepare(recognizer)
    report = recognizer.evaluate(dataset)
    costs = _measure(recognizer, dataset) if robustness else None
    if folder is not None:
        update_folder(
            folder, lambda known: known.with_evaluation(split_name(data, split), report, costs)
        )
    if as_json:
        more = {} if costs is None else {"robustness": costs.to_dict()}
        print(json.dumps({**report.to_dict(), **more}))
        return
    _print_tables(report)
    if costs is not None:
        _print_robustness(costs)


def _measure(recognizer: EmotionRecognizer, dataset: FaceDataset) -> Robustness:
    with progress_bar("Robustness", 1 + len(CHANGES)) as advance:
        return recognizer.measure_robustness(dataset, advance=advance)


def _print_robustness(robustness: Robustness) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("faces", "accuracy", "points lost")
    table.add_row("unchanged", f"{robustness.unchanged:.4f}", "")
    for name, accuracy in robustness.changed.items():
        table.add_row(name, f"{accuracy:.4f}", f"{robustness.drop(name):.2f}")
    Console().print(table)


def _print_tables(report: Report) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    low, high = report.accuracy_interval_95
    console = Console()
    console.print(
        f"accuracy {report.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}) on "
        f"{report.n} faces, macro F1 {report.macro_f1:.4f}, log loss {report.log_loss:.4f}, "
        f"calibration error {report.ece:.4f}",
        highlight=False,
    )
    figures = Table("class", "precision", "recall", "F1", "faces")
    for label, row in report.per_class.items():
        numbers = (f"{value:.3f}" for value in (row.precision, row.recall, row.f1))
        # As Text: a label in brackets is no markup.
        figures.add_row(Text(label), *numbers, str(row.support))
    confusion = Table(
        "true \\ predicted", *(Column(Text(label, overflow="fold")) for label in report.per_class)
    )
    for label, counts in zip(report.per_class, report.confusion, strict=True):
        confusion.add_row(Text(label), *(str(count) for count in counts))
    console.print(figures, confusion)
