"""``emonet ensemble``: combine several models into one, with fitted weights."""

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
from emonet.cli.printing import print_table
from emonet.data.splits import VALIDATION, split_name
from emonet.recognizer import EmotionRecognizer
from emonet.records import EnsembleWeights
from emonet.support.counting import counted
from emonet.support.dependencies import require

logger = logging.getLogger("emonet")


def ensemble(
    models: Annotated[list[str], typer.Argument(help="Model folders, or names as for predict.")],
    data: Data,
    out: NewModel,
    split: Annotated[str, typer.Option(help="The split to fit the weights on.")] = VALIDATION,
    mean: Annotated[
        bool,
        typer.Option(
            "--mean", help="Give all models the same weight; the split only measures accuracy."
        ),
    ] = False,
    test_time_augmentation: Views = None,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    dtype: WeightsDtype = "float32",
    license: License = None,
    as_json: AsJson = False,
) -> None:
    """Combine several models into one, and fit their weights.

    Differential evolution fits the weights. Accuracies are measured on the same faces; only 'held
    out' is cross-validated, so compare it with the plain mean.
    """
    require("evaluate", "emonet ensemble")
    members = [EmotionRecognizer.from_pretrained(model) for model in models]
    whole = EmotionRecognizer.ensemble(members)
    if test_time_augmentation is not None:
        whole = whole.with_test_time_augmentation(test_time_augmentation)
    dataset = load_faces(data, split, whole)
    prepare(whole)
    if not mean:
        whole.fit_weights(dataset, seed=seed)
    report = whole.evaluate(dataset)
    whole.set_record(replace(whole.record, command=typed_command()))
    whole.note_evaluation(split_name(data, split), report)
    whole.save_pretrained(out, dtype=dtype, license=license)
    if fitted := whole.record.ensemble_weights:
        _print(fitted, as_json=as_json)
    elif as_json:
        print(json.dumps({"mean": report.accuracy, "faces": report.n}))
    else:
        print(f"plain mean: accuracy {report.accuracy:.4f} on {counted(report.n, 'face')}")


def _print(fitted: EnsembleWeights, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(fitted)))
        return
    rows = [
        *(
            (name, f"{fitted.weights[name]:.4f}", f"{accuracy:.4f}")
            for name, accuracy in fitted.members.items()
        ),
        ("plain mean", "", f"{fitted.mean:.4f}"),
        ("fitted weights", "", f"{fitted.fitted:.4f}"),
        ("fitted weights, held out", "", f"{fitted.held_out:.4f}"),
    ]
    print_table(("", "weight", f"accuracy on {counted(fitted.faces, 'face')}"), rows)
