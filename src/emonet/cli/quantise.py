"""``emonet quantise``: write a model with int8 graphs, and measure the loss of accuracy."""

import logging
from dataclasses import replace
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import Data, License, NewModel, WeightsDtype, load_faces, typed_command
from emonet.data.splits import TRAINING, VALIDATION, split_name
from emonet.errors import ExportError
from emonet.recognizer import EmotionRecognizer
from emonet.support.counting import counted
from emonet.support.dependencies import require

logger = logging.getLogger("emonet")

Tolerance = Annotated[float, typer.Option(help="Percentage points of accuracy that int8 may lose.")]


def quantise(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder, or org/name.")],
    data: Data,
    out: NewModel,
    tolerance: Tolerance = 0.2,
    dtype: WeightsDtype = "float32",
    license: License = None,
) -> None:
    """Write a model folder with int8 graphs for onnxruntime.

    Faces of Training set the value ranges; faces of PublicTest measure the loss of accuracy.
    """
    require("export", "emonet quantise")
    # Keras computes in float32 even if the model has int8 graphs.
    recognizer = EmotionRecognizer.from_pretrained(model, runtime="keras")
    training = load_faces(data, TRAINING, recognizer)
    held_out = load_faces(data, VALIDATION, recognizer)
    import_keras_quietly()
    before = recognizer.evaluate(held_out).accuracy
    after = recognizer.quantise(training.images).evaluate(held_out)
    require_accuracy(before, after.accuracy, len(held_out), tolerance)
    recognizer.set_record(replace(recognizer.record, quantised=typed_command()))
    recognizer.note_evaluation(split_name(data, VALIDATION), after)
    recognizer.save_pretrained(out, dtype=dtype, license=license)


def require_accuracy(before: float, after: float, faces: int, tolerance: float) -> None:
    """Log two accuracies (0..1); raise ExportError if more than ``tolerance`` points are lost."""
    count = counted(faces, "validation face")
    logger.info("Accuracy on %s: float32 %.4f, int8 %.4f", count, before, after)
    if 100 * (before - after) > tolerance:
        raise ExportError(
            f"int8 costs {100 * (before - after):.2f} points of accuracy, more than --tolerance "
            f"{tolerance}. Raise --tolerance, or keep float32"
        )
