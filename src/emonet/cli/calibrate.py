"""``emonet calibrate``: fit the temperature of a model folder."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.backend import prepare
from emonet.cli.options import AsJson, Data, load_faces
from emonet.cli.printing import print_line, print_table
from emonet.data.splits import VALIDATION, split_name
from emonet.model import Model
from emonet.recognizer import EmotionRecognizer
from emonet.records import Calibration
from emonet.storage.update import require_folder, update_model
from emonet.support.counting import counted
from emonet.support.dependencies import require


def calibrate(
    model: Annotated[Path, typer.Argument(help="The model folder to change.")],
    data: Data,
    split: Annotated[
        str, typer.Option(help="The split to use; not one that the model was trained on.")
    ] = VALIDATION,
    seed: Annotated[int, typer.Option(help="Seed of the random halves.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Calibrate the scores of a model folder.

    The temperature is fitted on half of a split and measured on the other half. Labels stay as
    they are; scores, config.json, training.json and the card change. Saved figures of other splits
    are dropped, because their log loss is no longer valid.
    """
    require("evaluate", "emonet calibrate")
    folder = require_folder(model)
    recognizer = EmotionRecognizer.from_pretrained(folder)
    dataset = load_faces(data, split, recognizer)
    prepare(recognizer)
    recognizer.calibrate(dataset, seed=seed)
    recognizer.note_evaluation(split_name(data, split), recognizer.evaluate(dataset))
    fitted, temperature = recognizer.record, recognizer.config.temperature

    def calibrated(stored: Model) -> Model:
        record = replace(
            stored.record, evaluation=fitted.evaluation, calibration=fitted.calibration
        )
        config = replace(stored.config, temperature=temperature)
        return replace(stored, config=config, record=record)

    update_model(folder, calibrated)
    if fitted.calibration is not None:
        _print(fitted.calibration, as_json=as_json)


def _print(calibration: Calibration, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(calibration)))
        return
    print_line(
        f"temperature {calibration.temperature:.3f}, fitted on "
        f"{counted(calibration.fitted_on, 'face')}; figures for {calibration.faces} other faces"
    )
    rows = [
        (name, f"{row.accuracy:.4f}", f"{row.log_loss:.4f}", f"{row.ece:.4f}")
        for name, row in (("before", calibration.before), ("after", calibration.after))
    ]
    rows.append(("perfectly calibrated", "", "", f"{calibration.perfect_ece:.4f}"))
    print_table(("", "accuracy", "log loss", "calibration error"), rows)
    curve = [
        (
            f"{point.min_score:g}",
            f"{100 * point.coverage:.1f} %",
            "" if point.accuracy is None else f"{point.accuracy:.4f}",
        )
        for point in calibration.coverage
    ]
    print_table(("score threshold", "faces with a label", "accuracy on these faces"), curve)
