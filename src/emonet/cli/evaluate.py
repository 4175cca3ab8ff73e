"""``emonet evaluate``: a recognizer's figures on one split of a data set."""

import json
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import Data, Json, Model
from emonet.data import load_dataset
from emonet.evaluation.report import Report
from emonet.recognizer import EmotionRecognizer

__all__ = ["evaluate"]


def evaluate(
    data: Data,
    split: Annotated[
        str, typer.Option(help="Training, PublicTest or PrivateTest (or train, validation, test).")
    ],
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Measure accuracy, figures per class, confusion and calibration on face crops."""
    recognizer = EmotionRecognizer.from_pretrained(model)
    dataset = load_dataset(data, split, face_size=recognizer.config.face_sizes[0])
    import_keras_quietly()
    report = recognizer.evaluate(dataset)
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        _print_tables(report)


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
    confusion = Table("true \\ predicted", *(Column(Text(label)) for label in report.per_class))
    for label, counts in zip(report.per_class, report.confusion, strict=True):
        confusion.add_row(Text(label), *(str(count) for count in counts))
    console.print(figures, confusion)
