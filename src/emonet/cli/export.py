"""``emonet export``: a model as one file for other programs."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.network.runtimes import ExportFormat
from emonet.recognizer import EmotionRecognizer

__all__ = ["export"]

logger = logging.getLogger("emonet")


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder, or org/name.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[
        ExportFormat, typer.Option(help="onnx, or litert (TensorFlow Lite's new name).")
    ] = "onnx",
) -> None:
    """Write networks, calibration and test-time augmentation into one file.

    It maps grey faces to probabilities and needs no emonet; finding and cutting out faces is
    left to whoever runs it.
    """
    recognizer = EmotionRecognizer.from_pretrained(model)
    import_keras_quietly()
    recognizer.export(out, format=format)
    height, width = recognizer.config.face_sizes[0]
    logger.info(
        "%s: %.1f MB; faces float32 (n, %d, %d), grey 0..255 -> probabilities float32 (n, %d): %s",
        out, out.stat().st_size / 1e6, height, width, len(recognizer.labels),
        ", ".join(recognizer.labels),
    )  # fmt: skip
