"""The graph of a network that has only some of its weights, for models that are never run."""

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto, helper


def small_graph(weights: Mapping[str, np.ndarray]) -> bytes:
    """Return a graph that asks for these weights and does nothing with them."""
    asked = []
    for name, array in weights.items():
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=(1, *array.shape))
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights")
        asked.append(tensor)
    faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, [None, 48, 48])
    flat = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2304])
    node = helper.make_node("Flatten", ["faces"], ["probabilities"])
    graph = helper.make_graph([node], "graph", [faces], [flat], asked)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
