"""Whether a graph from a stranger asks for no more than a network needs."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from emonet.errors import WeightsError

if TYPE_CHECKING:
    import onnx

__all__ = ["check_graph"]


def check_graph(graph: bytes, weights: Collection[str], *, where: str) -> None:
    """Refuse a graph that is no network's.

    Args:
        graph: the bytes of an ONNX file.
        weights: names of what will be handed over (graph_weights), and nothing else from
            outside the file.
        where: what error messages call the file.

    Raises:
        WeightsError: it is no ONNX file, holds a graph within the graph or an operator that
            is not ONNX's own, or asks for other weights.
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
        # What loops or branches has graphs of its own. Memory is for the runtime to bound.
        inner = any(part.HasField("g") or part.graphs for part in node.attribute)
        if node.domain or inner:
            raise WeightsError(
                f"{where} uses the operator {node.op_type!a:.80}, which graphs of models may "
                f"not. If you trust the rest, load the model with runtime='keras'."
            )
    asked = {t.name for t in model.graph.initializer if _is_outside(t)}
    if lacking := sorted(asked - set(weights)):
        raise WeightsError(f"{where} asks for data {lacking[0]!a:.80} that the model lacks")
    if any(_is_outside(tensor) for tensor in _constants(model.graph)):
        raise WeightsError(f"{where} asks for data of an attribute, which none is given for")


def _is_outside(tensor: "onnx.TensorProto") -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL)


def _constants(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """Yield the tensors in attributes, which have no name that data could be given for."""
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
