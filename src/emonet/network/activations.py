"""Class activation maps (Zhou et al. 2016): what each place of a face adds to each logit.

A network that ends in global average pooling and a dense layer computes
``dense(mean(activations))``. Both are linear, so ``mean(dense(activations))`` is the same. The
dense layer is therefore moved before the pooling, and the pooling is left out. This gives one
logit per place, and their mean is the network's logit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emonet.config import TestTimeAugmentation
from emonet.network.views import view_indices, views
from emonet.pipeline.crops import FacesBySize, resampling
from emonet.runtimes.base import Runtime
from emonet.runtimes.batching import run_in_batches

if TYPE_CHECKING:
    import onnx

#: Operators that take the two sides of length 1 away after pooling.
RESHAPES = {"Flatten", "Identity", "Reshape", "Squeeze"}


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationMaps:
    """Networks without their pooling, whose maps are averaged as an ensemble's probabilities are.

    Attributes:
        runtimes: map float32 faces to float32 (n, rows, columns, classes), one per network.
        face_sizes: (height, width) of each network's faces, pixels.
        weights: each network's weight, >= 0; the weights need not sum to 1.
        num_classes: number of classes.
        temperature: divides the maps.
        augmentation: test-time augmentation.
    """

    runtimes: Sequence[Runtime]
    face_sizes: Sequence[tuple[int, int]]
    weights: Sequence[float]
    num_classes: int
    temperature: float
    augmentation: TestTimeAugmentation

    def __call__(self, faces: FacesBySize) -> NDArray[np.float32]:
        """Return float32 (n, classes, height, width) maps in the faces' largest size.

        Args:
            faces: uint8 (n, height, width) by size, for every size that a network needs.
        """
        height, width = size = max(faces)
        maps = np.zeros((len(faces[size]), self.num_classes, height, width), np.float32)
        if not len(maps):
            return maps
        shares = np.asarray(self.weights) / (sum(self.weights) * self.temperature)
        back = list(_back(size, self.augmentation))
        for runtime, face_size, share in zip(self.runtimes, self.face_sizes, shares, strict=True):
            all_views = views(faces[face_size], self.augmentation)
            for view, (rows, columns) in zip(all_views, back, strict=True):
                logits = np.moveaxis(run_in_batches(runtime, view, []), -1, 1)
                seen = _resized(logits, size)[:, :, rows][..., columns]
                maps += np.float32(share / len(back)) * _with_mean(seen, logits)
        return maps


def _back(
    size: tuple[int, int], augmentation: TestTimeAugmentation
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield (rows, columns) of each view where the view shows the face's rows and columns."""
    for indices in view_indices(size, augmentation):
        rows, columns = (
            np.abs(shown - np.arange(len(shown))[:, np.newaxis]).argmin(axis=1) for shown in indices
        )
        yield rows, columns


def _resized(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resample (n, classes, rows, columns) maps to (height, width)."""
    rows, columns = resampling(maps.shape[2:], size)
    return np.asarray(rows @ maps @ columns.T, np.float32)


def _with_mean(maps: NDArray[np.float32], source: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift maps so that their means, which are logits, are those of the source."""
    means = [part.mean(axis=(2, 3), keepdims=True, dtype=np.float64) for part in (source, maps)]
    return np.asarray(maps + (means[0] - means[1]), np.float32)


def without_pooling(graph: bytes) -> bytes | None:
    """Return a network's graph with one logit per place and class as its output.

    Args:
        graph: the bytes of a checked ONNX file.

    Returns:
        A graph whose output is float32 (n, rows, columns, classes); None if the network does not
        end in global average pooling, one dense layer and softmax.
    """
    from onnx import ModelProto, TensorProto, helper

    model = ModelProto.FromString(graph)
    ending = _find_ending(model.graph)
    if ending is None:
        return None
    added: list[onnx.NodeProto] = []

    def add(kind: str, *inputs: str, **attributes: object) -> str:
        output = f"emonet/local{len(added)}"
        added.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    places, kernel = ending.activations, ending.kernel
    if ending.channels_first:
        places = add("Transpose", places, perm=[0, 2, 3, 1])
    if ending.transposed:
        kernel = add("Transpose", kernel, perm=[1, 0])
    logits = add("MatMul", places, kernel)
    if ending.bias is not None:
        logits = add("Add", logits, ending.bias)
    nodes = [*model.graph.node, *added]
    needed = _needed(nodes, logits)
    model.graph.CopyFrom(
        helper.make_graph(
            [node for node in nodes if needed.issuperset(node.output)],
            model.graph.name,
            list(model.graph.input),
            [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [None] * 4)],
            [tensor for tensor in model.graph.initializer if tensor.name in needed],
        )
    )
    return bytes(model.SerializeToString())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """Names of the values around a network's pooling and dense layer."""

    activations: str
    channels_first: bool
    kernel: str
    transposed: bool
    bias: str | None


def _find_ending(graph: "onnx.GraphProto") -> _Ending | None:
    """Return the values around the last layers; None if the layers are others."""
    made = {name: node for node in graph.node for name in node.output}

    def before(name: str, *kinds: str) -> "onnx.NodeProto | None":
        node = made.get(name)
        return node if node is not None and node.op_type in kinds else None

    softmax = before(graph.output[0].name, "Softmax")
    dense = softmax and before(softmax.input[0], "Gemm", "MatMul", "Add")
    if not dense:
        return None
    bias, transposed = None, False
    if dense.op_type == "Add":
        product, bias = sorted(dense.input, key=lambda name: not before(name, "MatMul"))
        dense = before(product, "MatMul")
        if not dense:
            return None
    elif dense.op_type == "Gemm":
        given = {entry.name: entry.f or entry.i for entry in dense.attribute}
        if given.get("transA") or given.get("alpha", 1) != 1 or given.get("beta", 1) != 1:
            return None
        transposed = bool(given.get("transB"))
        bias = dense.input[2] if len(dense.input) > 2 else None
    pooled = dense.input[0]
    while reshape := before(pooled, *RESHAPES):
        pooled = reshape.input[0]
    pooling = before(pooled, "GlobalAveragePool", "ReduceMean")
    if not pooling:
        return None
    axes = _axes(graph, pooling)
    kernel = dense.input[1]
    constant = _needed(graph.node, kernel) | _needed(graph.node, bias or kernel)
    if axes not in ([1, 2], [2, 3]) or constant.intersection(value.name for value in graph.input):
        return None
    return _Ending(
        activations=pooling.input[0],
        channels_first=axes == [2, 3],
        kernel=kernel,
        transposed=transposed,
        bias=bias,
    )


def _needed(nodes: Sequence["onnx.NodeProto"], name: str) -> set[str]:
    """Return the names of the values that a value is computed from, and its own."""
    needed = {name}
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(node.input, node.output)
    return needed


def _axes(graph: "onnx.GraphProto", pooling: "onnx.NodeProto") -> list[int]:
    """Return the axes that a pooling averages over; empty if they are unknown."""
    from onnx import numpy_helper

    if pooling.op_type == "GlobalAveragePool":
        return [2, 3]
    if len(pooling.input) > 1:  # from opset 18 on
        found = [tensor for tensor in graph.initializer if tensor.name == pooling.input[1]]
        return sorted(int(axis) for tensor in found for axis in numpy_helper.to_array(tensor))
    return sorted(
        axis for entry in pooling.attribute if entry.name == "axes" for axis in entry.ints
    )
