"""A Keras model as a file for other programs, in ONNX or LiteRT."""

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

if TYPE_CHECKING:
    import onnx

__all__ = ["export_litert", "export_onnx", "onnx_model"]

#: Of ONNX's operators: old enough for runtimes of 2022.
OPSET = 17
OUTPUT = "probabilities"


def export_onnx(model: keras.Model) -> bytes:
    """Return a model with its weights as the bytes of an ONNX file.

    Raises:
        ExportError: Keras can't export a part of the model to ONNX.
    """
    return bytes(onnx_model(model).SerializeToString())


def export_litert(model: keras.Model) -> bytes:
    """Return a model with its weights as the bytes of a LiteRT file.

    Raises:
        ExportError: a part of the model has no form in LiteRT.
    """
    with TemporaryDirectory() as folder, _quiet():
        file = Path(folder) / "model.tflite"
        try:
            model.export(file, format="litert", verbose=False)
        except Exception as error:  # whatever an operator's conversion raises
            raise ExportError(f"Keras can't export to LiteRT: {error!s:.300}") from error
        data = file.read_bytes()
    if needed := set(re.findall(rb"Flex[A-Z]\w+", data)):
        names = ", ".join(sorted(name.decode().removeprefix("Flex") for name in needed))
        raise ExportError(f"LiteRT has no {names}: export to ONNX, which has")
    return data


def onnx_model(model: keras.Model) -> "onnx.ModelProto":
    """Return a model with its weights as onnx holds it; its output is called OUTPUT.

    Raises:
        ExportError: Keras can't export a part of the model to ONNX.
    """
    import onnx

    # Keras exports only what it has seen run.
    model([np.ones((1, *tensor.shape[1:]), np.float32) for tensor in model.inputs])
    with TemporaryDirectory() as folder, _quiet():
        file = Path(folder) / "model.onnx"
        try:
            model.export(file, format="onnx", verbose=False, opset_version=OPSET)
        except Exception as error:  # whatever an operator's conversion raises
            raise ExportError(f"Keras can't export the network to ONNX: {error!s:.300}") from error
        exported = onnx.load(file)
    if len(exported.graph.input) != len(model.inputs):
        # The converter takes some constants, such as given statistics of Normalization, for inputs.
        names = ", ".join(value.name for value in exported.graph.input)
        raise ExportError(
            f"Keras exported the network to ONNX with {len(exported.graph.input)} inputs in place "
            f"of {len(model.inputs)}: {names:.300}"
        )
    (output,) = exported.graph.output
    for node in exported.graph.node:
        node.output[:] = [OUTPUT if name == output.name else name for name in node.output]
    output.name = OUTPUT
    # Where sizes are computed within the graph, onnxruntime fuses less than where they are known.
    return onnx.shape_inference.infer_shapes(exported, data_prop=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the converter says about itself from users."""
    converter = logging.getLogger("tf2onnx")
    level = converter.level
    converter.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        converter.setLevel(level)
