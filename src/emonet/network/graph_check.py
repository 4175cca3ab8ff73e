"""Whether a graph from a stranger asks for no more than a network needs."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from emonet.errors import WeightsError

if TYPE_CHECKING:
    import onnx

__all__ = ["check_graph"]

# Operators that networks of convolutions and dense layers are made of; none of them loops. How
# much memory they may have is for the runtime to say.
# fmt: off
OPERATORS = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv",
    "Div", "Dropout", "Elu", "Erf", "Exp", "Flatten", "Gather", "Gelu", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "Log", "MatMul", "Max", "MaxPool", "Mean", "Min",
    "Mul", "Neg", "PRelu", "Pad", "Pow", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceSum",
    "Relu", "Reshape", "Resize", "Selu", "Shape", "Sigmoid", "Slice", "Softmax", "Softplus",
    "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze",
))
# fmt: on


def check_graph(graph: bytes, weights: Collection[str], *, where: str) -> None:
    """Refuse a graph that is no network's.

    Args:
        graph: the bytes of an ONNX file.
        weights: names of what will be handed over, and nothing else from outside the file.
        where: what error messages call the file.

    Raises:
        WeightsError: it is no ONNX file, holds an operator or a graph within the graph that
            networks don't need, or asks for other weights.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(graph)
    except DecodeError as error:
        raise WeightsError(f"{where} is not an ONNX file: {error}") from None
    if model.functions or model.graph.sparse_initializer:
        raise WeightsError(f"{where} is not a network's graph: it brings functions of its own")
    for node in model.graph.node:
        if node.domain or node.op_type not in OPERATORS:
            raise WeightsError(
                f"{where} uses the operator {node.op_type!a:.80}, which graphs of models may "
                f"not. If you trust it, load the model with runtime='keras'."
            )
    asked = {t.name for t in _tensors(model.graph) if t.data_location == t.EXTERNAL}
    if lacking := sorted(asked - set(weights)):
        raise WeightsError(f"{where} asks for data {lacking[0]!a:.80} that the model lacks")


def _tensors(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """Yield every tensor in a graph; those of attributes have no name that could be given."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
