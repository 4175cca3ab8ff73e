"""``emonet calibrate``: teach a model folder how sure it may be."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson, Data, load_faces
from emonet.data.splits import VALIDATION, split_name
from emonet.evaluation.calibration import Calibration
from emonet.recognizer import EmotionRecognizer
from emonet.storage.update import require_folder, update_folder

__all__ = ["calibrate"]


def calibrate(
    model: Annotated[Path, typer.Argument(help="The model folder to change.")],
    data: Data,
    split: Annotated[
        str, typer.Option(help="The split whose faces are used; none that was trained on.")
    ] = VALIDATION,
    seed: Annotated[int, typer.Option(help="Of the random halves.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn the temperature on half of a split, and measure it on the other half.

    Labels stay as they are; scores change, and so do config.json, training.json and the card.
    Figures that were noted for other splits are dropped: their log loss holds no longer.
    """
    folder = require_folder(model)
    recognizer = EmotionRecognizer.from_pretrained(folder)
    dataset = load_faces(data, split, recognizer)
    prepare(recognizer)
    recognizer.calibrate(dataset, seed=seed)
    recognizer.note_evaluation(split_name(data, split), recognizer.evaluate(dataset))
    learnt, temperature = recognizer.training, recognizer.config.temperature
    update_folder(
        folder,
        lambda record: replace(
            record, evaluation=learnt.evaluation, calibration=learnt.calibration
        ),
        lambda config: replace(config, temperature=temperature),
    )
    if learnt.calibration is not None:
        _print(learnt.calibration, as_json=as_json)


def _print(calibration: Calibration, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(calibration)))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"temperature {calibration.temperature:.3f}, learnt on {calibration.learnt_on} faces; "
        f"all figures are of {calibration.faces} others",
        highlight=False,
    )
    figures = Table("", "accuracy", "log loss", "calibration error")
    for name, row in (("before", calibration.before), ("after", calibration.after)):
        figures.add_row(name, f"{row.accuracy:.4f}", f"{row.log_loss:.4f}", f"{row.ece:.4f}")
    figures.add_row("perfect scores", "", "", f"{calibration.perfect_ece:.4f}")
    curve = Table("lowest score", "faces that keep a label", "accuracy among them")
    for point in calibration.coverage:
        accuracy = "" if point.accuracy is None else f"{point.accuracy:.4f}"
        curve.add_row(f"{point.min_score:g}", f"{100 * point.coverage:.1f} %", accuracy)
    console.print(figures, curve)
