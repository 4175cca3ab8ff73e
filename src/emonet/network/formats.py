"""Export a Keras model to ONNX or LiteRT."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import keras
import numpy as np

from emonet.errors import ExportError
from emonet.network.composing import OPSET
from emonet.network.composing import PROBABILITIES as OUTPUT

if TYPE_CHECKING:
    import onnx


def export_onnx(model: keras.Model) -> bytes:
    """Export a model and its weights to the bytes of an ONNX file.

    Raises:
        ExportError: Keras can't export a part of the model to ONNX.
    """
    return bytes(onnx_model(model).SerializeToString())


def export_litert(model: keras.Model) -> bytes:
    """Export a model and its weights to the bytes of a LiteRT file.

    Raises:
        ExportError: LiteRT lacks an operation of the model, or Keras can't export it.
    """
    with TemporaryDirectory() as folder, _quiet():
        file = Path(folder) / "model.tflite"
        try:
            model.export(file, format="litert", verbose=False)
        except Exception as error:  # converters raise many kinds of errors
            raise ExportError(f"Keras can't export the model to LiteRT: {error!s:.300}") from error
        data = file.read_bytes()
    if missing := set(re.findall(rb"Flex[A-Z]\w+", data)):
        names = ", ".join(sorted(name.decode().removeprefix("Flex") for name in missing))
        raise ExportError(f"LiteRT lacks the operations {names}: export to ONNX instead")
    return data


def onnx_model(model: keras.Model) -> "onnx.ModelProto":
    """Export a model and its weights to an onnx ModelProto whose output is called OUTPUT.

    Raises:
        ExportError: Keras can't export a part of the model to ONNX.
    """
    import onnx

    # Keras exports only models that have run once.
    model([np.ones((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs])
    with TemporaryDirectory() as folder, _quiet():
        file = Path(folder) / "model.onnx"
        try:
            model.export(file, format="onnx", verbose=False, opset_version=OPSET)
        except Exception as error:  # converters raise many kinds of errors
            raise ExportError(f"Keras can't export the network to ONNX: {error!s:.300}") from error
        exported = onnx.load(file)
    if len(exported.graph.input) != len(model.inputs):
        # The converter turns some constants into inputs, such as Normalization's statistics.
        names = ", ".join(value.name for value in exported.graph.input)
        raise ExportError(
            f"Keras exported the network to ONNX with {len(exported.graph.input)} inputs instead "
            f"of {len(model.inputs)}: {names:.300}"
        )
    (output,) = exported.graph.output
    for node in exported.graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT
    # onnxruntime fuses more operations if all sizes are known.
    return onnx.shape_inference.infer_shapes(exported, data_prop=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the converter's logs and warnings."""
    converter = logging.getLogger("tf2onnx")
    level = converter.level
    converter.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        converter.setLevel(level)
