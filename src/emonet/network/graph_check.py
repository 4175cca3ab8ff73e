"""Check that an untrusted ONNX graph needs no more than a network does."""

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from emonet.errors import WeightsError
from emonet.runtimes.base import max_memory

if TYPE_CHECKING:
    import onnx


def check_graph(graph: bytes, weights: Collection[str], *, where: str) -> None:
    """Raise WeightsError if a graph may do more than compute a network.

    Args:
        graph: the bytes of an ONNX file.
        weights: names of the arrays that the loader provides (graph_weights). The graph may use
            no other data outside the file.
        where: name of the file in error messages.

    Raises:
        WeightsError: the file is not ONNX, contains nested graphs or custom operators, needs
            other data outside the file, or expands its constants to more than half of the
            memory.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(graph)
    except DecodeError as error:
        raise WeightsError(f"{where} is not an ONNX file: {error}") from None
    if model.functions or model.graph.sparse_initializer:
        raise WeightsError(f"{where} has functions or sparse weights, which are not allowed")
    for node in model.graph.node:
        if node.domain or any(map(_has_more_than_tensors, node.attribute)):
            raise WeightsError(
                f"{where} uses the operator {node.op_type!a:.80}, which is not allowed. If you "
                f"trust the rest of the model, load it with runtime='keras'."
            )
    needed = {t.name for t in model.graph.initializer if _is_external(t)}
    if missing := sorted(needed - set(weights)):
        raise WeightsError(f"{where} asks for data {missing[0]!a:.80} that the model lacks")
    if any(_is_external(tensor) for tensor in _constants(model.graph)):
        raise WeightsError(f"{where} keeps data of an attribute in another file: not allowed")
    if _constant_bytes(model) > max_memory():
        raise WeightsError(
            f"{where} expands its constants to more than half of the memory, or to an unknown "
            f"size. If you trust the rest of the model, load it with runtime='keras'."
        )


def _has_more_than_tensors(attribute: "onnx.AttributeProto") -> bool:
    """Return whether an attribute has a graph (loops) or a sparse tensor (may read files)."""
    return bool(
        attribute.HasField("g")
        or attribute.graphs
        or attribute.HasField("sparse_tensor")
        or attribute.sparse_tensors
    )


def _is_external(tensor: "onnx.TensorProto") -> bool:
    return bool(tensor.data_location == tensor.EXTERNAL)


def _constants(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """Yield the tensors in attributes; they have no name, so no data can be provided."""
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def _constant_bytes(model: "onnx.ModelProto") -> float:
    """Return an upper bound of the bytes computed from constants alone; infinity if unknown.

    onnxruntime computes these values while it loads a graph, with no other bound on memory.
    """
    sizes, batched = _inferred_sizes(model)
    constants = {tensor.name for tensor in model.graph.initializer} | {""}
    known = constants | {value.name for value in model.graph.input}
    total = 0.0
    for node in model.graph.node:
        if not known.issuperset(node.input):
            return math.inf  # nodes must be in topological order
        known.update(node.output)
        # The shape of a value with a fixed size is a constant too.
        fixed_shape = node.op_type in ("Shape", "Size") and (
            node.attribute or not batched.issuperset(node.input)
        )
        if fixed_shape or constants.issuperset(node.input):
            constants.update(node.output)
            total += sum(sizes.get(name, math.inf) for name in node.output if name)
    return total


def _inferred_sizes(model: "onnx.ModelProto") -> tuple[dict[str, int], set[str]]:
    """Return the bytes of each value with a fixed size, and the names of values with a batch axis.

    Shapes in the file are ignored, except for the inputs', because they may be wrong.
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
        for axis in value.type.tensor_type.shape.dim:
            if not axis.HasField("dim_value"):
                axis.dim_param = "batch"
    try:
        graph = infer_shapes(bare).graph
    except (RuntimeError, ValueError):
        return {}, set()
    sizes, batched = {}, set()
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if any(axis.HasField("dim_param") for axis in tensor.shape.dim):
            batched.add(value.name)
        elif tensor.HasField("shape") and all(a.HasField("dim_value") for a in tensor.shape.dim):
            count = math.prod(axis.dim_value for axis in tensor.shape.dim)
            with suppress(KeyError):  # an unknown data type
                sizes[value.name] = count * tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    return sizes, batched
