"""``emonet export``: a model as one file for other programs."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from emonet.cli.backend import import_keras_quietly
from emonet.cli.quantise import Tolerance, require_accuracy
from emonet.data import FaceDataset, load_dataset
from emonet.data.splits import TRAINING, VALIDATION
from emonet.errors import ConfigError
from emonet.exports import export_format
from emonet.files import beside
from emonet.network.batching import run_in_batches
from emonet.network.runtimes import ExportFormat, OnnxRuntime
from emonet.recognizer import EmotionRecognizer

__all__ = ["export"]

logger = logging.getLogger("emonet")


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder, or org/name.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[
        ExportFormat | None,
        typer.Option(
            help="onnx, or litert (TensorFlow Lite's new name); by default what --out's suffix "
            "tells, .tflite or another."
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="int8 is smaller and, with onnxruntime, faster; needs --data."),
    ] = "float32",
    data: Annotated[
        Path | None,
        typer.Option(
            help="For int8, FER-2013's CSV file or a folder: Training's faces give the ranges "
            "of values, PublicTest's tell what accuracy is lost."
        ),
    ] = None,
    tolerance: Tolerance = 0.2,
) -> None:
    """Write networks, calibration and test-time augmentation into one file.

    It maps grey faces to probabilities and needs no emonet; finding and cutting out faces is
    left to whoever runs it.
    """
    # Keras computes in float32 whatever the model's graphs do.
    recognizer = EmotionRecognizer.from_pretrained(model, runtime="keras")
    height, width = recognizer.config.face_sizes[0]
    if format is None:
        format = export_format(out)
    int8_faces = held_out = None
    if precision == "int8":
        if data is None or format != "onnx":
            raise ConfigError("--precision int8 needs --data, and goes with --format onnx")
        int8_faces = load_dataset(data, TRAINING, face_size=(height, width)).images
        held_out = load_dataset(data, VALIDATION, face_size=(height, width))
    import_keras_quietly()
    out.parent.mkdir(parents=True, exist_ok=True)
    with beside(out) as file:
        recognizer.export(file, format=format, int8_faces=int8_faces)
        if held_out is not None:
            _require_accuracy(file, recognizer, held_out, tolerance)
    logger.info(
        "%s: %.1f MB; faces float32 (n, %d, %d), grey 0..255 -> probabilities float32 (n, %d): %s",
        out, out.stat().st_size / 1e6, height, width, len(recognizer.labels),
        ", ".join(recognizer.labels),
    )  # fmt: skip


def _require_accuracy(
    file: Path, recognizer: EmotionRecognizer, held_out: FaceDataset, tolerance: float
) -> None:
    """Print what an exported file finds and what the recognizer does; refuse too large a loss."""
    held_out = held_out.with_labels(recognizer.labels)
    answers = run_in_batches(OnnxRuntime(file.read_bytes(), {}), held_out.images, [])
    after = float((answers.argmax(axis=1) == held_out.classes).mean())
    require_accuracy(recognizer.evaluate(held_out).accuracy, after, len(held_out), tolerance)
