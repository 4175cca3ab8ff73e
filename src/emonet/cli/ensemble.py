"""``emonet ensemble``: several model folders -> one, with learnt weights."""

import json
import logging
from dataclasses import asdict, replace
from typing import Annotated

import typer

from emonet.cli.backend import prepare
from emonet.cli.options import (
    AsJson,
    Data,
    License,
    NewModel,
    Views,
    WeightsDtype,
    load_faces,
    typed_command,
)
from emonet.data.splits import VALIDATION, split_name
from emonet.evaluation.report import Report
from emonet.recognizer import EmotionRecognizer
from emonet.training.ensembling import LearntWeights

__all__ = ["ensemble"]

logger = logging.getLogger("emonet")


def ensemble(
    models: Annotated[list[str], typer.Argument(help="Model folders, or names as for predict.")],
    data: Data,
    out: NewModel,
    split: Annotated[
        str, typer.Option(help="The split that the weights are learnt on.")
    ] = VALIDATION,
    mean: Annotated[
        bool,
        typer.Option("--mean", help="Give all the same weight; the split only tells accuracy."),
    ] = False,
    test_time_augmentation: Views = None,
    seed: Annotated[int, typer.Option(help="Of the search.")] = 0,
    dtype: WeightsDtype = "float32",
    license: License = None,
    as_json: AsJson = False,
) -> None:
    """Put several models into one, and learn their weights by differential evolution.

    The figures are those of faces that chose the weights; 'held out' is the one to compare
    with the plain mean.
    """
    members = [EmotionRecognizer.from_pretrained(model) for model in models]
    whole = EmotionRecognizer.ensemble(members)
    if test_time_augmentation is not None:
        whole = whole.with_test_time_augmentation(test_time_augmentation)
    dataset = load_faces(data, split, whole)
    prepare(whole)
    if not mean:
        whole.fit_weights(dataset, seed=seed)
    report = whole.evaluate(dataset)
    whole.training = replace(whole.training, command=typed_command())
    whole.note_evaluation(split_name(data, split), report)
    whole.save_pretrained(out, dtype=dtype, license=license)
    if learnt := whole.training.learnt_weights:
        _print(learnt, as_json=as_json)
    else:
        _print_mean(report, as_json=as_json)


def _print_mean(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"mean": report.accuracy, "faces": report.n}))
    else:
        print(f"plain mean: accuracy {report.accuracy:.4f} on {report.n} faces")


def _print(learnt: LearntWeights, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(learnt)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("", "weight", f"accuracy on {learnt.faces} faces")
    for name, accuracy in learnt.members.items():
        table.add_row(name, f"{learnt.weights[name]:.4f}", f"{accuracy:.4f}")
    table.add_row("plain mean", "", f"{learnt.mean:.4f}")
    table.add_row("learnt weights", "", f"{learnt.learnt:.4f}")
    table.add_row("learnt weights, held out", "", f"{learnt.held_out:.4f}")
    Console().print(table)
