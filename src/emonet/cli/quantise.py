"""``emonet quantise``: a model whose graphs compute in int8, and what that costs."""

import logging
from dataclasses import replace
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.options import (
    Data,
    License,
    NewModel,
    WeightsDtype,
    load_faces,
    typed_command,
)
from emonet.data.splits import TRAINING, VALIDATION, split_name
from emonet.errors import ExportError
from emonet.recognizer import EmotionRecognizer

__all__ = ["Tolerance", "quantise", "require_accuracy"]

logger = logging.getLogger("emonet")

Tolerance = Annotated[float, typer.Option(help="How many points of accuracy int8 may cost.")]


def quantise(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder or a repository.")],
    data: Data,
    out: NewModel,
    tolerance: Tolerance = 0.2,
    dtype: WeightsDtype = "float32",
    license: License = None,
) -> None:
    """Write a model folder for onnxruntime to compute convolutions in int8.

    Training's faces give the ranges of values, PublicTest's tell what accuracy is lost.
    """
    # Keras computes in float32 whatever the model's graphs do.
    recognizer = EmotionRecognizer.from_pretrained(model, runtime="keras")
    training = load_faces(data, TRAINING, recognizer)
    held_out = load_faces(data, VALIDATION, recognizer)
    import_keras_quietly()
    before = recognizer.evaluate(held_out).accuracy
    after = recognizer.quantise(training.images).evaluate(held_out)
    require_accuracy(before, after.accuracy, len(held_out), tolerance)
    recognizer.training = replace(recognizer.training, quantised=typed_command())
    recognizer.note_evaluation(split_name(data, VALIDATION), after)
    recognizer.save_pretrained(out, dtype=dtype, license=license)


def require_accuracy(before: float, after: float, faces: int, tolerance: float) -> None:
    """Print two accuracies (0..1) on validation faces, and refuse a loss of too many points.

    Raises:
        ExportError: more than ``tolerance`` points are lost.
    """
    logger.info(
        "Accuracy on %d validation faces: float32 %.4f, int8 %.4f", faces, before, after
    )  # fmt: skip
    if 100 * (before - after) > tolerance:
        raise ExportError(
            f"int8 costs {100 * (before - after):.2f} points of accuracy, more than --tolerance "
            f"{tolerance}: allow more, or stay with float32"
        )
