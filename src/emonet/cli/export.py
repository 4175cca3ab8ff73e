"""``emonet export``: write a model for other programs."""

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from emonet.assembly.exports import ExportFormat, export_format
from emonet.cli.backend import import_keras_quietly, prepare
from emonet.cli.quantise import Tolerance, require_accuracy
from emonet.data import FaceDataset, load_dataset
from emonet.data.splits import TRAINING, VALIDATION
from emonet.errors import ConfigError
from emonet.recognizer import EmotionRecognizer
from emonet.runtimes.batching import run_in_batches
from emonet.runtimes.onnx_runtime import OnnxRuntime
from emonet.storage.sources import find_license
from emonet.support.dependencies import require
from emonet.support.files import atomic_write

logger = logging.getLogger("emonet")


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a model folder, or org/name.")],
    out: Annotated[Path, typer.Option(help="The file to write; for transformers-js, the folder.")],
    format: Annotated[
        ExportFormat | None,
        typer.Option(
            help="onnx, litert (the new name of TensorFlow Lite) or transformers-js. By default "
            "litert if --out ends with .tflite, otherwise onnx."
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "int8"] | None,
        typer.Option(
            help="int8 is smaller and, with onnxruntime, faster; needs --data. By default the "
            "model's own precision."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="For int8: FER-2013's CSV file or a folder. Faces of Training set the value "
            "ranges, faces of PublicTest measure the loss of accuracy."
        ),
    ] = None,
    tolerance: Tolerance = 0.2,
    license: Annotated[
        str | None,
        typer.Option(help="Licence of the weights; by default the licence in the model's card."),
    ] = None,
) -> None:
    """Write a model for other programs.

    The file holds networks, calibration and test-time augmentation. It maps grey face crops to
    probabilities and runs without emonet. Your program has to find and crop the faces.
    transformers-js is a folder for the image-classification pipeline of Transformers.js.
    """
    if format is None:
        format = export_format(out)
    if precision == "int8":
        if data is None or format != "onnx":
            raise ConfigError("--precision int8 needs --data and --format onnx")
        require("evaluate", "emonet export --precision int8")
    if format == "litert":
        require("export", "emonet export --format litert")
    recognizer = EmotionRecognizer.from_pretrained(model)
    if precision and any(part.graph_precision == "int8" for part in recognizer.config.networks):
        # Without the model's int8 graphs, Keras computes in float32.
        recognizer = EmotionRecognizer.from_pretrained(model, runtime="keras")
    height, width = recognizer.config.face_sizes[0]
    int8_faces = held_out = None
    if precision == "int8" and data is not None:
        int8_faces = load_dataset(data, TRAINING, face_size=(height, width)).images
        held_out = load_dataset(data, VALIDATION, face_size=(height, width))
    if format == "litert":
        import_keras_quietly()
    prepare(recognizer)
    license = license or find_license(model)
    if format == "transformers-js":
        recognizer.export(out, format=format, license=license)
        logger.info("%s: a repository for Transformers.js", out)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        recognizer.export(file, format=format, int8_faces=int8_faces, license=license)
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
    """Compare the accuracy of an exported file with the recognizer's on held-out faces."""
    held_out = held_out.with_labels(recognizer.labels)
    probabilities = run_in_batches(OnnxRuntime(file.read_bytes(), {}), held_out.images, [])
    after = float((probabilities.argmax(axis=1) == held_out.classes).mean())
    require_accuracy(recognizer.evaluate(held_out).accuracy, after, len(held_out), tolerance)
