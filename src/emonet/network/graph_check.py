"""Whether a graph from a stranger asks for no more than a network needs."""

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from emonet.errors import WeightsError
from emonet.network.runtimes import most_memory

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
            is not ONNX's own, asks for other weights, or makes more than memory should hold
            of its constants.
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
        if node.domain or any(map(_holds_more_than_tensors, node.attribute)):
            raise WeightsError(
                f"{where} uses the operator {node.op_type!a:.80}, which graphs of models may "
                f"not. If you trust the rest, load the model with runtime='keras'."
            )
    asked = {t.name for t in model.graph.initializer if _is_outside(t)}
    if lacking := sorted(asked - set(weights)):
        raise WeightsError(f"{where} asks for data {lacking[0]!a:.80} that the model lacks")
    if any(_is_outside(tensor) for tensor in _constants(model.graph)):
        raise WeightsError(f"{where} asks for data of an attribute, which none is given for")
    if _constant_bytes(model) > most_memory():
        raise WeightsError(
            f"{where} makes more of its constants than half of the memory holds, or can't tell "
            f"how much. If you trust the rest, load the model with runtime='keras'."
        )


def _holds_more_than_tensors(attribute: "onnx.AttributeProto") -> bool:
    """Tell whether it has a graph, as loops do, or a sparse tensor, which may read files."""
    return bool(
        attribute.HasField("g")
        or attribute.graphs
        or attribute.HasField("sparse_tensor")
        or attribute.sparse_tensors
    )


def _is_outside(tensor: "onnx.TensorProto") -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL)


def _constants(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """Yield the tensors in attributes, which have no name that data could be given for."""
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _constant_bytes(model: "onnx.ModelProto") -> float:
    """Return how much follows from constants alone at most; infinity if that can't be told.

    It is computed while onnxruntime loads a graph, when nothing else bounds its memory.
    """
    sizes, growing = _inferred(model)
    constants = {tensor.name for tensor in model.graph.initializer} | {""}
    known = constants | {value.name for value in model.graph.input}
    total = 0.0
    for node in model.graph.node:
        if not known.issuperset(node.input):
            return math.inf  # what comes first must stand first
        known.update(node.output)
        # The sides of what has a fixed size are constants too.
        sides = node.op_type in ("Shape", "Size") and (
            node.attribute or not growing.issuperset(node.input)
        )
        if sides or constants.issuperset(node.input):
            constants.update(node.output)
            total += sum(sizes.get(name, math.inf) for name in node.output if name)
    return total


def _inferred(model: "onnx.ModelProto") -> tuple[dict[str, int], set[str]]:
    """Return the bytes of values of a fixed size, and the names of those that grow with a batch.

    What the file itself says of shapes, but for the inputs', is not to be believed.
    """
    from onnx import ModelProto
    from onnx.helper import tensor_dtype_to_np_dtype
    from onnx.shape_inference import infer_shapes

    bare = ModelProto()
    bare.CopyFrom(model)
    bare.graph.ClearField("value_info")
    for output in bare.graph.output:
        output.type.tensor_type.ClearField("shape")
    for value in bare.graph.input:
        for side in value.type.tensor_type.shape.dim:
            if not side.HasField("dim_value"):
                side.dim_param = "open"
    try:
        graph = infer_shapes(bare).graph
    except (RuntimeError, ValueError):
        return {}, set()
    sizes, growing = {}, set()
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if any(side.HasField("dim_param") for side in tensor.shape.dim):
            growing.add(value.name)
        elif tensor.HasField("shape") and all(s.HasField("dim_value") for s in tensor.shape.dim):
            count = math.prod(side.dim_value for side in tensor.shape.dim)
            with suppress(KeyError):  # there is no such type
                sizes[value.name] = count * tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    return sizes, growing
