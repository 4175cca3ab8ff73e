"""Check an untrusted ONNX graph before it is loaded.

The native code of onnx and onnxruntime can crash on malformed graphs. The operators, attributes
and constants are therefore compared with lists before this code sees the graph.
"""

import math
from collections.abc import Mapping, Sequence
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
#: Largest value for a batch of faces, bytes. resnet50 with 512x512 pixels needs this size.
MAX_VALUE_BYTES = 2**31
#: Most work for one face, in multiplications and additions of a convolution.
#: inception_resnet_v2 with 299x299 pixels needs 1.9e10.
MAX_WORK = 2**35
#: What one number costs that an operator reads or writes, in the same unit; measured.
NUMBER_WORK, SLOW_WORK = 16, 256
#: Limits for constant folding: onnxruntime computes values from constants while it loads a graph.
#: The bytes read and written may be MAX_CONSTANT_RATIO times the bytes of the constants, plus
#: MAX_CONSTANT_BYTES. The exporter slices, squeezes and transposes each weight.
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
#: Operators that may take integers, because the exporter computes shapes with them. Integer
#: division can crash, so no operator here divides.
INTEGERS = MOVES | {"Add", "Max", "Min", "Mul", "ReduceProd", "Sub"}
#: Slow operators. Constant folding needs none of them.
PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
#: Operators that Keras' export and onnxruntime's quantiser write for face networks, and similar
#: operators.
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
#: Operators that take far longer than others for each number, at least in some cases.
SLOW = {name for name in ALLOWED if name.startswith("Reduce")} | {
    "ConvTranspose", "Gather", "InstanceNormalization", "LRN", "LayerNormalization", "LogSoftmax",
    "Mish", "Pow", "Resize", "Slice", "Softmax", "Softplus", "Split", "Tile", "Where",
}  # fmt: skip
#: Usual transpositions. Others move numbers that are far from each other.
FAST_TRANSPOSITIONS = {(0, 2, 1), (0, 1, 3, 2), (0, 2, 1, 3), (0, 2, 3, 1), (0, 3, 1, 2)}
#: Operators whose inputs after the first set the size of the result. These inputs must be
#: constants in the file.
SIZED = {"Gather", "Pad", "Resize", "Tile"}
#: Operators that may compute the size for Expand. With these operators, a full batch gives the
#: largest size.
SIZES = {
    "Cast", "Concat", "Gather", "Identity", "Reshape", "Shape", "Slice", "Squeeze", "Unsqueeze",
}  # fmt: skip
POSITIVE = {
    "blocksize", "dilations", "group", "kernel_shape", "num_outputs", "size", "strides",
}  # fmt: skip
NOT_NEGATIVE = {"output_padding", "output_shape", "pads"}

Shape = tuple[int, ...]


def check_graph(graph: bytes, weights: Mapping[str, NDArray[Any]], *, where: str) -> None:
    """Raise WeightsError if an untrusted graph is unsafe to load.

    Args:
        graph: the bytes of an ONNX file.
        weights: the arrays that the loader provides (graph_weights). The graph may refer to no
            other external data.
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
    """The error in a graph, for example ``uses the operator 'Loop', which is not allowed``."""


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
    """Return the opset version; refuse functions, training information and sparse weights."""
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise _Refused("has functions, training or sparse weights, which are not allowed")
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in OPSETS:
        raise _Refused(
            f"uses the ONNX opset {str(versions)!a:.80}, expected {OPSETS[0]} to {OPSETS[-1]}"
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
    """Refuse an operator that is not allowed or does not match its ONNX schema."""
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
    """Refuse an attribute that is not a number, a short text or a tensor in the file."""
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
        # onnxruntime takes a hundred times longer for this interpolation than for others.
        and attribute.s != b"cubic"
    )
    if not legal and operator != "Constant":
        raise _Refused(f"gives {operator} a value of {name} that is not allowed")


def _check_outer(value: "onnx.ValueInfoProto") -> None:
    """Refuse an input or output that is not a float32 batch; set its batch size to BATCH_SIZE."""
    tensor = value.type.tensor_type
    sizes = tensor.shape.dim
    if (
        tensor.elem_type != 1
        or not 2 <= len(sizes) <= MAX_RANK
        or sizes[0].HasField("dim_value")
        or not all(1 <= size.dim_value <= MAX_SIZE for size in list(sizes)[1:])
    ):
        raise _Refused(f"has the input or output {value.name!a:.80}, which is not a float32 batch")
    sizes[0].dim_value = BATCH_SIZE


def _check_tensor(tensor: "onnx.TensorProto", weights: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a constant whose data do not match its declared type or shape."""
    kind, dims = tensor.data_type, tuple(tensor.dims)
    if kind not in _itemsizes() or len(dims) > MAX_RANK or min(dims, default=0) < 0:
        raise _Refused(f"has the constant {tensor.name!a:.80}, whose type or shape is not allowed")
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
        raise _Refused(f"has the constant {tensor.name!a:.80}, whose data have the wrong size")


def _infer(model: "onnx.ModelProto", shapes: dict[str, Shape], types: dict[str, int]) -> None:
    """Add the shape and type of each value for a full batch.

    Of the shapes in the file, only those of the inputs are used. The others may be wrong.
    """
    from onnx.shape_inference import infer_shapes

    model.graph.ClearField("value_info")
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        graph = infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:
        raise _Refused(f"has inconsistent types or shapes: {str(error)!a:.300}") from None
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
            raise _Refused(
                f"computes a value of unknown size or unsupported type with {node.op_type}"
            )
        shape = shapes[name]
        if len(shape) > MAX_RANK or min(shape, default=1) < 1:
            raise _Refused(
                f"computes a value of shape {shape!s:.80} with {node.op_type}, which is not allowed"
            )
        if _bytes(shape, types[name]) > MAX_VALUE_BYTES:
            raise _Refused(
                f"computes a value of {_bytes(shape, types[name]) / 2**30:.3g} GiB with "
                f"{node.op_type} for {BATCH_SIZE} faces; at most "
                f"{MAX_VALUE_BYTES / 2**30:.3g} GiB are allowed"
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
            raise _Refused(f"computes the size of the result of {name}, which is not allowed")
        # The result of Shape can be a constant too.
        if name == "Shape" or constants.issuperset(node.input):
            if name in PRODUCTS:
                raise _Refused(f"computes constants with {name}, which is not allowed")
            constants.update(node.output)
            values = filter(None, (*node.input, *node.output))
            moved += sum(_bytes(shapes[value], types[value]) for value in values)
        work += _work(node, shapes)
    if moved > MAX_CONSTANT_RATIO * stored + MAX_CONSTANT_BYTES:
        raise _Refused(
            f"computes {moved / 2**20:.0f} MiB from {stored / 2**20:.3g} MiB of constants, "
            f"which is too much"
        )
    if work > MAX_WORK * BATCH_SIZE:
        raise _Refused(
            f"takes {work / BATCH_SIZE:.2g} operations for each face; at most {MAX_WORK:.2g} are "
            f"allowed"
        )


def _work(node: "onnx.NodeProto", shapes: Mapping[str, Shape]) -> int:
    """Estimate the work of an operator, in multiplications and additions of a convolution."""
    inputs = [shapes[name] for name in node.input if name]
    outputs = [shapes[name] for name in node.output if name]
    cost = SLOW_WORK if _is_slow(node, inputs) else NUMBER_WORK
    work = cost * sum(map(math.prod, (*inputs, *outputs)))
    match node.op_type:
        case "Conv":
            # A processor computes 8 channels at once, or fewer if a group has fewer.
            channels = inputs[1][0] * inputs[1][1] // inputs[0][1]
            idle = 8 // min(8, max(1, channels))
            return work + math.prod(outputs[0]) * math.prod(inputs[1][1:]) * idle
        case "ConvTranspose":
            idle = 8 // min(8, inputs[1][1])
            return work + math.prod(inputs[0]) * math.prod(inputs[1][1:]) * idle
        case "MatMul":
            matrices = math.prod(outputs[0][:-2])
            return work + math.prod(outputs[0]) * inputs[0][-1] + SLOW_WORK * matrices
        case "Gemm":
            return work + math.prod(outputs[0]) * max(inputs[0])
        case "MaxPool" | "AveragePool" | "LRN":
            kernels = [a for a in node.attribute if a.name in ("kernel_shape", "size")]
            sizes = [int(size) for kernel in kernels for size in (*kernel.ints, kernel.i or 1)]
            return work + cost * math.prod(outputs[0]) * math.prod(sizes)
    return work


def _is_slow(node: "onnx.NodeProto", inputs: Sequence[Shape]) -> bool:
    """Return whether an operator takes far longer than others for each number."""
    match node.op_type:
        case "Transpose":
            orders = [tuple(attribute.ints) for attribute in node.attribute]
            return not FAST_TRANSPOSITIONS.issuperset(orders) or not orders
        case "MaxPool" | "AveragePool":
            usual = {"ceil_mode": 0, "dilations": 1}
            given = [(a.name, max(a.ints, default=a.i)) for a in node.attribute]
            return len(node.output) > 1 or any(
                name in usual and value != usual[name] for name, value in given
            )
        case "QuantizeLinear":
            return math.prod(inputs[1]) > 1
    return node.op_type in SLOW


def _itemsizes() -> dict[int, int]:
    """Return the item size in bytes of each allowed ONNX data type."""
    from onnx import TensorProto

    kinds = TensorProto
    return {
        kinds.FLOAT: 4, kinds.UINT8: 1, kinds.INT8: 1, kinds.INT32: 4, kinds.INT64: 8,
        kinds.BOOL: 1,
    }  # fmt: skip


def _bytes(shape: Shape, kind: int) -> int:
    return math.prod(shape) * _itemsizes()[kind]
