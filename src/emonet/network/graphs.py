"""Export a Keras model to an ONNX graph without weights.

A model folder stores each weight once, in a safetensors file that Keras and onnxruntime both
load. The graph has about 100 kB and depends on the architecture alone.
"""

from typing import TYPE_CHECKING

import keras
import numpy as np

from emonet.errors import ExportError, WeightsError
from emonet.network.formats import onnx_model
from emonet.network.graph_check import check_graph
from emonet.network.weights import get_weights
from emonet.runtimes.onnx_runtime import OnnxRuntime

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-3


class Stateless(keras.layers.Layer):  # type: ignore[misc]
    """Runs a model with weights that follow its inputs."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__()
        self.model = model

    def call(self, tensors: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Map inputs, and weights with an extra first dimension of 1, to the outputs."""
        count = len(self.model.inputs)
        inputs, weights = list(tensors[:count]), tensors[count:]
        values = {
            id(variable): weight[0]
            for variable, weight in zip(self.model.weights, weights, strict=True)
        }
        # Variables that are not weights, such as dropout's seed state, keep their values.
        outputs, _ = self.model.stateless_call(
            [values[id(variable)] for variable in self.model.trainable_variables],
            [
                values.get(id(variable), variable.value)
                for variable in self.model.non_trainable_variables
            ],
            inputs,
            training=False,
        )
        return outputs


def export_graph(model: keras.Model) -> bytes:
    """Export a model's graph without weights to the bytes of an ONNX file.

    Args:
        model: a float32 model; only the first dimension of its inputs and outputs is variable.

    Returns:
        The graph. Its inputs have the names of the model's inputs. Its weights are external
        initialisers, which the loader provides. They have the names that get_weights returns,
        and an extra first dimension of 1.

    Raises:
        ExportError: Keras can't export a part of the model to ONNX, onnxruntime's results
            differ from Keras', or emonet would not load the graph again.
    """
    # Keras makes the first dimension of every input variable, so weights need an extra one.
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
    try:
        check_graph(graph, get_weights(model), where="the graph")
    except WeightsError as error:  # emonet would not load it again
        raise ExportError(str(error)) from error
    return graph


def _compare(graph: bytes, model: keras.Model) -> None:
    """Raise ExportError if a graph's results differ: the exporter can fail without an error."""
    random = np.random.default_rng(0)
    inputs = [
        random.uniform(0, 255, (2, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs
    ]
    expected = np.asarray(model(inputs, training=False))
    try:
        faces, *features = inputs
        results = OnnxRuntime(graph, get_weights(model))(faces, features)
    except WeightsError as error:
        raise ExportError(str(error)) from error
    difference = float(np.abs(results - expected).max())
    if not difference <= TOLERANCE:
        raise ExportError(f"onnxruntime's results differ from Keras' by up to {difference:.2g}")


def _make_initializer(
    graph: "onnx.GraphProto", parameter: str, name: str, shape: tuple[int, ...]
) -> None:
    """Turn an input of a graph into an initialiser with external data."""
    from onnx import TensorProto

    weight = graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=shape)
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights")
    for node in graph.node:
        node.input[:] = [name if used == parameter else used for used in node.input]
    graph.input.remove(next(value for value in graph.input if value.name == parameter))
