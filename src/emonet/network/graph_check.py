"""Check that an untrusted ONNX graph needs no more than a network does.

The operators, their attributes and their data are compared with lists before any native code of
onnx or onnxruntime sees the graph: both can crash on graphs that are wrong in odd ways.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from emonet.errors import WeightsError
from emonet.runtimes.batching import BATCH_SIZE

if TYPE_CHECKING:
    import onnx

OPSETS = range(13, 22)
#: inception_resnet_v2, the largest backbone of emonet, has 5,100.
MAX_NODES = 20_000
MAX_RANK = 8
#: Bytes of one value for a batch of faces: resnet50 with 512x512 pixels needs as many.
MAX_VALUE_BYTES = 2**31
#: Multiplications and additions for one face: inception_resnet_v2 with 512x512 pixels needs 39e9.
MAX_WORK = 2**36
#: Bytes read and written for values that follow from constants; onnxruntime computes them while it
#: loads a graph. The exporter slices, squeezes and transposes each weight.
MAX_CONSTANT_BYTES = 2**26
MAX_CONSTANT_RATIO = 16
#: Limit for strides, pads, kernels and so on.
MAX_SIZE = 2**14
MAX_TEXT = 64

#: Operators that only move values or give them another type.
MOVES = {
    "Cast", "Concat", "Constant", "DepthToSpace", "DequantizeLinear", "Expand", "Flatten", "Gather",
    "Identity", "Reshape", "ReverseSequence", "Shape", "Slice", "SpaceToDepth", "Split", "Squeeze",
    "Tile", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
#: Operators that may take integers, as the exporter computes shapes; dividing them can crash.
INTEGERS = MOVES | {"Add", "Max", "Min", "Mul", "ReduceProd", "Sub"}
#: Operators that take long. Constants need none of them.
PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
#: The operators that Keras' export and onnxruntime's quantiser write for networks of faces, and
#: close relatives.
ALLOWED = INTEGERS | PRODUCTS | {
    "Abs", "And", "AveragePool", "BatchNormalization", "Ceil", "Clip", "Cos", "Div", "Elu", "Equal",
    "Erf", "Exp", "Floor", "Gelu", "GlobalAveragePool", "GlobalMaxPool", "Greater",
    "GreaterOrEqual", "HardSigmoid", "HardSwish", "InstanceNormalization", "LRN",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "MaxPool",
    "Mean", "Mish", "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "Reciprocal",
    "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "ReduceSumSquare", "Relu", "Resize", "Selu", "Sigmoid", "Sign", "Sin", "Softmax", "Softplus",
    "Softsign", "Sqrt", "Sum", "Tanh", "ThresholdedRelu",
}  # fmt: skip
#: Operators whose inputs, except for the first, must be constants of the file, because they decide
#: how large the result is.
SIZED = {"Gather", "Pad", "Resize", "Tile"}
#: Operators that may compute the size that Expand is given, so that it grows with the batch and in
#: no other way.
SIZES = {
    "Cast", "Concat", "Gather", "Identity", "Reshape", "Shape", "Slice", "Squeeze", "Unsqueeze",
}  # fmt: skip
POSITIVE = {
    "blocksize", "dilations", "group", "kernel_shape", "num_outputs", "size", "strides",
}  # fmt: skip
NOT_NEGATIVE = {"output_padding", "output_shape", "pads"}

Shape = tuple[int, ...]


def check_graph(graph: bytes, weights: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Raise WeightsError if a graph may do more than compute a network.

    Args:
        graph: the bytes of an ONNX file.
        weights: the arrays that the loader provides (graph_weights). The graph may use no other
            data outside the file.
        where: name of the file in error messages.

    Raises:
        WeightsError: the file is not ONNX, uses an operator, a type or data that is not allowed,
            or needs more memory or time than a network.
    """
    try:
        _check(graph, weights)
    except _Refused as refused:
        raise WeightsError(
            f"{where} {refused}. If you trust the rest of the model, load it with runtime='keras'"
        ) from None
    except Exception as error:  # onnx and protobuf raise many kinds of errors
        raise WeightsError(f"{where} can't be checked: {str(error)!a:.300}") from error


class _Refused(Exception):  # noqa: N818
    """Says what is wrong with a graph: ``uses the operator 'Loop', which is not allowed``."""


def _check(data: bytes, weights: Mapping[str, NDArray[Any]]) -> None:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    try:
        model = ModelProto.FromString(data)
    except DecodeError as error:
        raise _Refused(f"is not an ONNX file: {error}") from None
    opset = _opset(model)
    _check_names(model.graph)
    for node in model.graph.node:
        _check_node(node, opset)
    for value in (*model.graph.input, *model.graph.output):
        _check_outer(value)
    shapes: dict[str, Shape] = {}
    types: dict[str, int] = {}
    for tensor in model.graph.initializer:
        shapes[tensor.name], types[tensor.name] = tuple(tensor.dims), tensor.data_type
        _check_tensor(tensor, weights)
    stored = sum(_bytes(shapes[name], types[name]) for name in shapes)
    _infer(model, shapes, types)
    for node in model.graph.node:
        _check_values(node, shapes, types)
    (output,) = model.graph.output
    if shapes[output.name][:1] != (BATCH_SIZE,):
        raise _Refused("does not return one row for each face")
    _check_work(model.graph, shapes, types, stored)


def _opset(model: "onnx.ModelProto") -> int:
    """Return the version of ONNX's operators; refuse what is not a plain graph."""
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise _Refused("has functions, training or sparse weights, which are not allowed")
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise _Refused(
            f"must use version {OPSETS[0]} to {OPSETS[-1]} of ONNX's operators, and uses "
            f"{str(versions)!a:.80}"
        )
    return int(versions[0])


def _check_names(graph: "onnx.GraphProto") -> None:
    """Refuse a graph whose values are defined twice, or used before they are defined."""
    if len(graph.node) > MAX_NODES:
        raise _Refused(f"has {len(graph.node)} operators, more than {MAX_NODES}")
    if len(graph.output) != 1:
        raise _Refused(f"has {len(graph.output)} outputs instead of one")
    known: set[str] = set()

    def define(name: str) -> None:
        if not name or name in known:
            raise _Refused(f"defines the value {name!a:.80} twice, or gives it no name")
        known.add(name)

    for value in (*graph.input, *graph.initializer):
        define(value.name)
    for node in graph.node:
        for name in node.input:
            if name and name not in known:
                raise _Refused(f"uses the value {name!a:.80} before it is computed")
        for name in filter(None, node.output):
            define(name)
    if graph.output[0].name not in known:
        raise _Refused(f"does not compute its output {graph.output[0].name!a:.80}")


def _check_node(node: "onnx.NodeProto", opset: int) -> None:
    """Refuse an operator that is not allowed, or not used as ONNX says."""
    from onnx.defs import OpSchema, get_schema

    if node.op_type not in ALLOWED or node.domain or node.overload:
        raise _Refused(f"uses the operator {node.op_type!a:.80}, which is not allowed")
    schema = get_schema(node.op_type, opset, "")
    wrong = _Refused(f"uses the operator {node.op_type} in a way that ONNX does not define")
    if not schema.min_input <= len(node.input) <= schema.max_input:
        raise wrong
    if not schema.min_output <= len(node.output) <= schema.max_output or not node.output[0]:
        raise wrong
    optional = OpSchema.FormalParameterOption.Optional
    for index, name in enumerate(node.input):
        if not name and schema.inputs[min(index, len(schema.inputs) - 1)].option != optional:
            raise wrong
    names = [attribute.name for attribute in node.attribute]
    required = {name for name, attribute in schema.attributes.items() if attribute.required}
    if len(set(names)) != len(names) or not required <= set(names) <= schema.attributes.keys():
        raise wrong
    for attribute in node.attribute:
        if attribute.type != schema.attributes[attribute.name].type.value:
            raise wrong
        _check_attribute(attribute, node.op_type)


def _check_attribute(attribute: "onnx.AttributeProto", operator: str) -> None:
    """Refuse an attribute that is no number, short text or tensor of the file."""
    kinds = attribute.AttributeType
    fields = {
        kinds.FLOAT: "f", kinds.INT: "i", kinds.STRING: "s", kinds.TENSOR: "t",
        kinds.FLOATS: "floats", kinds.INTS: "ints",
    }  # fmt: skip
    name, kind = attribute.name, attribute.type
    given = {field.name for field, _ in attribute.ListFields()} - {"name", "type", "doc_string"}
    if kind not in fields or not given <= {fields[kind]}:
        raise _Refused(f"gives {operator} the attribute {name!a:.80}, which is not allowed")
    if kind == kinds.TENSOR:
        if attribute.t.data_location == attribute.t.EXTERNAL:
            raise _Refused("keeps data of an attribute in another file, which is not allowed")
        _check_tensor(attribute.t, {})
    low = 1 if name in POSITIVE else 0 if name in NOT_NEGATIVE else -MAX_SIZE
    numbers = [attribute.i, *attribute.ints]
    if kind == kinds.INTS:
        numbers = numbers[1:]
    legal = (
        len(attribute.s) <= MAX_TEXT
        and (kind not in (kinds.INT, kinds.INTS) or all(low <= n <= MAX_SIZE for n in numbers))
        and all(map(math.isfinite, (attribute.f, *attribute.floats)))
        and (name != "to" or attribute.i in _itemsizes())
    )
    if not legal and operator != "Constant":
        raise _Refused(f"gives {operator} a value of {name} that is not allowed")


def _check_outer(value: "onnx.ValueInfoProto") -> None:
    """Refuse an input or output that is no batch of float32 values; fix the size of the batch."""
    tensor = value.type.tensor_type
    sizes = tensor.shape.dim
    if (
        tensor.elem_type != 1
        or not 2 <= len(sizes) <= MAX_RANK
        or sizes[0].HasField("dim_value")
        or not all(1 <= size.dim_value <= MAX_SIZE for size in list(sizes)[1:])
    ):
        raise _Refused(f"has the input or output {value.name!a:.80}, which is no batch of float32")
    sizes[0].dim_value = BATCH_SIZE


def _check_tensor(tensor: "onnx.TensorProto", weights: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a constant whose data are of another type or size than it says."""
    kind, dims = tensor.data_type, tuple(tensor.dims)
    if kind not in _itemsizes() or len(dims) > MAX_RANK or min(dims, default=0) < 0:
        raise _Refused(f"has the constant {tensor.name!a:.80} of a type that is not allowed")
    if tensor.data_location == tensor.EXTERNAL:
        if tensor.name not in weights:
            raise _Refused(f"asks for data {tensor.name!a:.80} that the model lacks")
        # See network.graphs: weights have an extra first dimension.
        if kind != tensor.FLOAT or dims != (1, *weights[tensor.name].shape):
            raise _Refused(
                f"needs the weight {tensor.name!a:.80} with shape {dims[1:]}, and the model has "
                f"{weights[tensor.name].shape}: it belongs to another network"
            )
        return
    field = {tensor.FLOAT: tensor.float_data, tensor.INT64: tensor.int64_data}
    if tensor.HasField("raw_data"):
        found = len(tensor.raw_data)
    else:
        found = len(field.get(kind, tensor.int32_data)) * _itemsizes()[kind]
    if found != _bytes(dims, kind) or tensor.HasField("segment"):
        raise _Refused(f"has the constant {tensor.name!a:.80} whose data have another size")


def _infer(model: "onnx.ModelProto", shapes: dict[str, Shape], types: dict[str, int]) -> None:
    """Add the shape and type of each value for a full batch.

    Shapes in the file are ignored, except for the inputs', because they may be wrong.
    """
    from onnx.shape_inference import infer_shapes

    model.graph.ClearField("value_info")
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        graph = infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:
        raise _Refused(f"does not fit together: {str(error)!a:.300}") from None
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(a.HasField("dim_value") for a in tensor.shape.dim):
            shapes[value.name] = tuple(axis.dim_value for axis in tensor.shape.dim)
            types[value.name] = tensor.elem_type


def _check_values(
    node: "onnx.NodeProto", shapes: Mapping[str, Shape], types: Mapping[str, int]
) -> None:
    """Refuse an operator whose results have an unknown size, or are too large."""
    for name in filter(None, node.output):
        if types.get(name) not in _itemsizes():
            raise _Refused(f"computes a value of unknown size by {node.op_type}")
        shape = shapes[name]
        if len(shape) > MAX_RANK or min(shape, default=1) < 1:
            raise _Refused(f"computes a value of shape {shape!s:.80} by {node.op_type}")
        if _bytes(shape, types[name]) > MAX_VALUE_BYTES:
            raise _Refused(
                f"computes a value of {_bytes(shape, types[name]) / 2**30:.3g} GiB by "
                f"{node.op_type} for {BATCH_SIZE} faces; {MAX_VALUE_BYTES / 2**30:.3g} are allowed"
            )
    if node.op_type not in INTEGERS and types[node.input[0]] not in (1, 9):  # float32, bool
        raise _Refused(f"uses the operator {node.op_type} for integers, which is not allowed")


def _check_work(
    graph: "onnx.GraphProto", shapes: Mapping[str, Shape], types: Mapping[str, int], stored: int
) -> None:
    """Refuse a graph that computes too much, from faces or from its constants."""
    fixed = {tensor.name for tensor in graph.initializer} | {""}
    sizes, constants = set(fixed), set(fixed)
    work = moved = 0
    for node in graph.node:
        name, parameters = node.op_type, node.input[1:]
        if name == "Constant":
            fixed.update(node.output)
        if name in ("Constant", "Shape") or (name in SIZES and sizes.issuperset(node.input)):
            sizes.update(node.output)
        if (name in SIZED and not fixed.issuperset(parameters)) or (
            name == "Expand" and not sizes.issuperset(parameters)
        ):
            raise _Refused(f"computes how large a result of {name} is")
        # The shape of a value can be a constant too.
        if name == "Shape" or constants.issuperset(node.input):
            if name in PRODUCTS:
                raise _Refused(f"computes constants by {name}, which is not allowed")
            constants.update(node.output)
            values = filter(None, (*node.input, *node.output))
            moved += sum(_bytes(shapes[value], types[value]) for value in values)
        work += _work(node, shapes)
    if moved > MAX_CONSTANT_RATIO * stored + MAX_CONSTANT_BYTES:
        raise _Refused(
            f"computes {moved / 2**20:.0f} MiB from its constants, which have "
            f"{stored / 2**20:.3g} MiB"
        )
    if work > MAX_WORK * BATCH_SIZE:
        raise _Refused(
            f"takes {work / BATCH_SIZE:.2g} operations for each face; {MAX_WORK:.2g} are allowed"
        )


def _work(node: "onnx.NodeProto", shapes: Mapping[str, Shape]) -> int:
    """Return about how many multiplications or additions an operator needs."""
    inputs = [shapes[name] for name in node.input if name]
    outputs = [shapes[name] for name in node.output if name]
    work = sum(map(math.prod, (*inputs, *outputs)))
    match node.op_type:
        case "Conv":
            return work + math.prod(outputs[0]) * math.prod(inputs[1][1:])
        case "ConvTranspose":
            return work + math.prod(inputs[0]) * math.prod(inputs[1][1:])
        case "MatMul":
            return work + math.prod(outputs[0]) * inputs[0][-1]
        case "Gemm":
            return work + math.prod(outputs[0]) * max(inputs[0])
        case "MaxPool" | "AveragePool" | "LRN":
            kernels = [a for a in node.attribute if a.name in ("kernel_shape", "size")]
            sizes = [int(size) for kernel in kernels for size in (*kernel.ints, kernel.i or 1)]
            return work + math.prod(outputs[0]) * math.prod(sizes)
    return work


def _itemsizes() -> dict[int, int]:
    """Return the bytes of one number by ONNX's number of its type, for the types allowed."""
    from onnx import TensorProto

    kinds = TensorProto
    return {
        kinds.FLOAT: 4, kinds.UINT8: 1, kinds.INT8: 1, kinds.INT32: 4, kinds.INT64: 8,
        kinds.BOOL: 1,
    }  # fmt: skip


def _bytes(shape: Shape, kind: int) -> int:
    return math.prod(shape) * _itemsizes()[kind]
