"""Compose the ONNX graphs of networks, their views and the calibration into one ONNX file.

Only ONNX itself is needed here: a model that was saved with graphs is exported without Keras.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import ModelConfig, TestTimeAugmentation
from emonet.network.views import view_indices
from emonet.pipeline.crops import resampling

if TYPE_CHECKING:
    import onnx

#: Version of ONNX's operators; runtimes from 2022 on support it.
OPSET = 17
#: Version of ONNX's file format that came with this opset.
IR_VERSION = 8
BATCH = "batch"
FACES, PROBABILITIES = "faces", "probabilities"
PIXELS, LOGITS = "pixel_values", "logits"
#: Red, green and blue in grey (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)
SMALLEST = 1e-30

Array = NDArray[Any]


def compose(
    config: ModelConfig, graphs: Mapping[str, bytes], weights: Mapping[str, Mapping[str, Array]]
) -> bytes:
    """Return the bytes of one ONNX file: networks, views, weighted mean, temperature and prior.

    Args:
        config: the model's configuration, without feature extractors.
        graphs: each network's graph.
        weights: the arrays that each graph loads (graph_weights).

    Returns:
        A file that maps ``faces``, float32 (batch, height, width) grey 0..255 in the size of the
        largest network, to ``probabilities``, float32 (batch, classes). It resizes the faces for
        smaller networks.
    """
    whole, size, augmentation = _Graph(), config.face_sizes[0], config.test_time_augmentation
    viewed = {}
    for smaller in config.face_sizes:
        faces = FACES
        if smaller != size:
            rows, columns = resampling(size, smaller)
            faces = whole.add("MatMul", whole.constant(rows), faces)
            faces = whole.add("MatMul", faces, whole.constant(columns.T))
        viewed[smaller] = whole.views(faces, smaller, augmentation)
    total = sum(part.weight for part in config.networks)
    mean = ""
    for part in config.networks:
        name, faces = part.name, viewed[part.face_size]
        member = whole.network(name, graphs[name], weights[name], faces)
        member = whole.mean_over_views(member, size, len(config.labels), augmentation)
        if len(config.networks) > 1:
            member = whole.add("Mul", member, whole.constant(part.weight / total))
        mean = whole.add("Add", mean, member) if mean else member
    factors = config.class_factors
    if config.temperature != 1 or factors is not None:
        # The temperature divides the log-probabilities (Guo et al. 2017).
        logits = whole.add("Div", whole.log(mean), whole.constant(config.temperature))
        if factors is not None:
            logits = whole.add("Add", logits, whole.constant(np.log(factors)))
        mean = whole.add("Softmax", logits, axis=-1)
    whole.add("Identity", mean, to=PROBABILITIES)
    return whole.file({FACES: size}, {PROBABILITIES: (len(config.labels),)})


def for_transformers_js(file: bytes) -> bytes:
    """Return a composed file with the input and output of Transformers.js.

    The new file maps ``pixel_values``, float32 (batch, 3, height, width) RGB 0..1, to ``logits``,
    float32 (batch, classes), whose softmax is the probabilities.
    """
    from onnx import ModelProto

    composed = ModelProto.FromString(file).graph
    (height, width), (classes,) = map(_sizes, (composed.input[0], composed.output[0]))
    whole = _Graph("transformers_js_")
    factors = np.array(LUMA, np.float32).reshape(3, 1, 1) * np.float32(255)
    scaled = whole.add("Mul", PIXELS, whole.constant(factors))
    whole.add("ReduceSum", scaled, whole.constant([1], np.int64), keepdims=0, to=FACES)
    whole.nodes.extend(composed.node)
    whole.initializers.extend(composed.initializer)
    whole.add("Identity", whole.log(PROBABILITIES), to=LOGITS)
    return whole.file({PIXELS: (3, height, width)}, {LOGITS: (classes,)})


def with_metadata(file: bytes, entries: Mapping[str, str], version: str) -> bytes:
    """Return an ONNX file with metadata, and with the name of its batch dimension.

    Args:
        file: the bytes of an ONNX file, whose first dimensions are the batch.
        entries: the metadata.
        version: the release of emonet that wrote the file.
    """
    from onnx import ModelProto, helper

    model = ModelProto.FromString(file)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    # Optimisers note shapes with batch names of their own, and domains that no node uses.
    model.graph.ClearField("value_info")
    del model.opset_import[:], model.metadata_props[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "emonet", version
    helper.set_model_props(model, dict(entries))
    return bytes(model.SerializeToString())


class _Graph:
    """A graph that grows node by node; methods return the name of the value that they add."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix  # of the names of new values
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Add a node with one result."""
        from onnx import helper

        to = to or f"{self._prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [to], name=to, **attributes))
        return to

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant array."""
        from onnx import numpy_helper

        name = f"{self._prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def log(self, probabilities: str) -> str:
        """Add the logarithm of probabilities, which may be 0."""
        positive = self.add("Max", probabilities, self.constant(SMALLEST))
        return self.add("Log", positive)

    def views(self, faces: str, size: tuple[int, int], augmentation: TestTimeAugmentation) -> str:
        """Add the views of faces, concatenated: (n, h, w) -> (views * n, h, w)."""
        found = []
        for indices in view_indices(size, augmentation):
            view = faces
            for axis, taken in enumerate(indices, 1):
                if not np.array_equal(taken, np.arange(size[axis - 1])):
                    view = self.add("Gather", view, self.constant(taken, np.int64), axis=axis)
            found.append(view)
        return found[0] if len(found) == 1 else self.add("Concat", *found, axis=0)

    def mean_over_views(
        self, member: str, size: tuple[int, int], classes: int, augmentation: TestTimeAugmentation
    ) -> str:
        """Add the mean over the views: (views * n, k) -> (n, k)."""
        count = len(list(view_indices(size, augmentation)))
        if count == 1:
            return member
        parted = self.add("Reshape", member, self.constant([count, -1, classes], np.int64))
        return self.add("ReduceMean", parted, axes=[0], keepdims=0)

    def network(self, name: str, graph: bytes, weights: Mapping[str, Array], faces: str) -> str:
        """Add a network's graph with its weights; names get the network's name as prefix."""
        from onnx import ModelProto, numpy_helper

        source = ModelProto.FromString(graph).graph

        def renamed(names: Sequence[str]) -> list[str]:
            given = {source.input[0].name: faces, "": ""}
            return [given.get(one, f"{name}/{one}") for one in names]

        for tensor in source.initializer:
            if tensor.data_location == tensor.EXTERNAL:
                # See network.graphs: weights have an extra first dimension.
                array = np.asarray(weights[tensor.name], np.float32)[np.newaxis]
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            (tensor.name,) = renamed([tensor.name])
            self.initializers.append(tensor)
        for node in source.node:
            node.name = f"{name}/{node.name}"
            node.input[:], node.output[:] = renamed(node.input), renamed(node.output)
            self.nodes.extend(_with_adjacent_axes(node))
        return f"{name}/{source.output[0].name}"

    def file(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bytes:
        """Return the bytes of an ONNX file; shapes are given without the first dimension."""
        from onnx import TensorProto, helper

        def values(shapes: Mapping[str, Any]) -> list["onnx.ValueInfoProto"]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])
                for name, shape in shapes.items()
            ]

        graph = helper.make_graph(
            self.nodes, "emonet", values(inputs), values(outputs), self.initializers
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())


def _sizes(value: "onnx.ValueInfoProto") -> tuple[int, ...]:
    """Return the shape of an input or output without its first dimension."""
    return tuple(size.dim_value for size in list(value.type.tensor_type.shape.dim)[1:])


def _with_adjacent_axes(node: "onnx.NodeProto") -> list["onnx.NodeProto"]:
    """Return nodes that reduce adjacent axes only, because OpenCV fails at others for batches.

    OpenCV 5.0 computes a mean over the axes 1, 2 and 4 wrongly, without an error, as soon as
    axis 0 is longer than 1. The mean over 1 and 2 and then over 4 is the same.
    """
    from onnx import helper

    options = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    axes = sorted(options.get("axes", ()))
    runs = [
        [axis for _, axis in run]
        for _, run in groupby(enumerate(axes), lambda pair: pair[1] - pair[0])
    ]
    if node.op_type != "ReduceMean" or len(runs) < 2 or not options.get("keepdims", 1):
        return [node]
    names = [node.input[0], *(f"{node.output[0]}/{run[0]}" for run in runs[:-1]), node.output[0]]
    return [
        helper.make_node("ReduceMean", [before], [after], name=after, axes=run, keepdims=1)
        for (before, after), run in zip(pairwise(names), runs, strict=True)
    ]
