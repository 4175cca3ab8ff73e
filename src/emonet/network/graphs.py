"""A Keras model as an ONNX graph without weights, which onnxruntime puts together with them.

So a folder holds each weight once, in the safetensors file that Keras and onnxruntime both
take it from. The graph itself has some 100 kB and follows from the architecture alone.
"""

from typing import TYPE_CHECKING

import keras
import numpy as np

from emonet.errors import ExportError, WeightsError
from emonet.network.formats import onnx_model
from emonet.network.runtimes import OnnxRuntime
from emonet.network.weights import get_weights

if TYPE_CHECKING:
    import onnx

__all__ = ["export_graph"]

TOLERANCE = 1e-3


class Stateless(keras.layers.Layer):  # type: ignore[misc]
    """Runs a model with weights that come in behind its inputs."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def call(self, tensors: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Map inputs, and weights with one more dimension in front, to the outputs."""
        count = len(self.model.inputs)
        inputs, weights = list(tensors[:count]), tensors[count:]
        given = {
            id(variable): weight[0]
            for variable, weight in zip(self.model.weights, weights, strict=True)
        }
        # A variable that is no weight is what dropout draws from: it stays as it is.
        outputs, _ = self.model.stateless_call(
            [given[id(variable)] for variable in self.model.trainable_variables],
            [
                given.get(id(variable), variable.value)
                for variable in self.model.non_trainable_variables
            ],
            inputs,
            training=False,
        )
        return outputs


def export_graph(model: keras.Model) -> bytes:
    """Return a model's graph without its weights, as the bytes of an ONNX file.

    Args:
        model: float32; only the first dimension of its inputs and outputs is open.

    Returns:
        The graph. Its inputs are the model's, by their names. Its weights, by the names that
        get_weights gives them and with one more dimension of 1 in front, are initialisers
        that whoever loads it hands over.

    Raises:
        ExportError: Keras can't export a part of the model to ONNX, or onnxruntime does not
            answer as the model does.
    """
    # Keras takes the first dimension of every input for the open one.
    weights = [
        keras.Input(batch_shape=(1, *variable.shape), name=f"weight{index}")
        for index, variable in enumerate(model.weights)
    ]
    inputs = [keras.Input(tensor.shape[1:], name=tensor.name) for tensor in model.inputs]
    stateless = keras.Model([*inputs, *weights], Stateless(model)([*inputs, *weights]))
    exported = onnx_model(stateless)
    parameters = list(exported.graph.input)[len(inputs) :]
    for parameter, (name, array) in zip(parameters, get_weights(model).items(), strict=True):
        _make_initializer(exported.graph, parameter.name, name, (1, *array.shape))
    graph = bytes(exported.SerializeToString())
    _compare(graph, model)
    return graph


def _compare(graph: bytes, model: keras.Model) -> None:
    """Refuse a graph that does not answer as its model: the exporter leaves gaps unsaid."""
    random = np.random.default_rng(0)
    inputs = [
        random.uniform(0, 255, (2, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs
    ]
    expected = np.asarray(model(inputs, training=False))
    try:
        faces, *features = inputs
        answers = OnnxRuntime(graph, get_weights(model))(faces, features)
    except WeightsError as error:
        raise ExportError(str(error)) from error
    difference = float(np.abs(answers - expected).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"onnxruntime's answers differ from Keras' by up to {difference:.2g}")


def _make_initializer(
    graph: "onnx.GraphProto", parameter: str, name: str, shape: tuple[int, ...]
) -> None:
    """Turn an input of a graph into a weight that is stored elsewhere."""
    from onnx import TensorProto

    weight = graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=shape)
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights")
    for node in graph.node:
        node.input[:] = [name if used == parameter else used for used in node.input]
    graph.input.remove(next(value for value in graph.input if value.name == parameter))
