"""The dense layer moves before the pooling, and nothing else is taken for such an ending."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from emonet.network.activations import ActivationMaps, _back, without_pooling
from emonet.network.views import view_indices
from emonet.runtimes.onnx_runtime import OnnxRuntime

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(5, 3)).astype(np.float32)
BIAS = RANDOM.normal(size=3).astype(np.float32)
#: float32 (n, 4, 6, 5): rows, columns and channels of the activations.
ACTIVATIONS = RANDOM.normal(size=(2, 4, 6, 5)).astype(np.float32)


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], **attributes)


def network(*nodes, shape=(None, 4, 6, 5)) -> bytes:
    """Return a network from x to y with the constants kernel, transposed and bias."""
    constants = {"kernel": KERNEL, "transposed": KERNEL.T.copy(), "bias": BIAS}
    graph = helper.make_graph(
        [node("Identity", ["x"], "a"), *nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


MEAN = node("ReduceMean", ["a"], "p", axes=[1, 2], keepdims=0)
SOFTMAX = node("Softmax", ["z"], "y")
FIRST = {"axes": [2, 3]}
ENDINGS = {
    "matmul": [MEAN, node("MatMul", ["p", "kernel"], "m"), node("Add", ["m", "bias"], "z")],
    "bias first": [MEAN, node("MatMul", ["p", "kernel"], "m"), node("Add", ["bias", "m"], "z")],
    "gemm": [MEAN, node("Gemm", ["p", "kernel", "bias"], "z")],
    "transposed": [MEAN, node("Gemm", ["p", "transposed", "bias"], "z", transB=1)],
    "channels first": [
        node("Transpose", ["a"], "t", perm=[0, 3, 1, 2]),
        node("GlobalAveragePool", ["t"], "g"),
        node("Flatten", ["g"], "p"),
        node("Gemm", ["p", "kernel", "bias"], "z"),
    ],
}


@pytest.mark.parametrize("name", ENDINGS)
def test_local_logits_are_exact(name):
    graph = without_pooling(network(*ENDINGS[name], SOFTMAX))
    local = OnnxRuntime(graph, {})(ACTIVATIONS, [])
    assert local.shape == (2, 4, 6, 3)
    assert np.abs(local - (ACTIVATIONS @ KERNEL + BIAS)).max() < 1e-5


def test_a_dense_layer_needs_no_bias():
    graph = without_pooling(network(MEAN, node("MatMul", ["p", "kernel"], "z"), SOFTMAX))
    assert np.abs(OnnxRuntime(graph, {})(ACTIVATIONS, []) - ACTIVATIONS @ KERNEL).max() < 1e-5


@pytest.mark.parametrize(
    "nodes",
    [
        # No softmax, another function of the activations, or another pooling.
        [MEAN, node("Gemm", ["p", "kernel", "bias"], "y")],
        [MEAN, node("Relu", ["p"], "r"), node("Gemm", ["r", "kernel", "bias"], "z"), SOFTMAX],
        [MEAN, node("Gemm", ["p", "kernel", "bias"], "r"), node("Relu", ["r"], "z"), SOFTMAX],
        [MEAN, node("Gemm", ["p", "kernel", "bias"], "z", alpha=2.0), SOFTMAX],
        [
            node("ReduceMax", ["a"], "p", axes=[1, 2], keepdims=0),
            node("Gemm", ["p", "kernel", "bias"], "z"),
            SOFTMAX,
        ],
        # Two branches: what is added depends on the faces too.
        [
            MEAN,
            node("MatMul", ["p", "kernel"], "m"),
            node("MatMul", ["p", "kernel"], "n"),
            node("Add", ["m", "n"], "z"),
            SOFTMAX,
        ],
    ],
)
def test_other_endings_are_refused(nodes):
    assert without_pooling(network(*nodes)) is None


@pytest.mark.parametrize("augmentation", ["none", "horizontal_flip", "shift"])
def test_views_are_turned_back(augmentation):
    face = RANDOM.integers(0, 256, (48, 48))
    for (rows, columns), (down, across) in zip(
        view_indices((48, 48), augmentation), _back((48, 48), augmentation), strict=True
    ):
        again = face[rows][:, columns][down][:, across]
        # A shift by 2 pixels loses 2 rows or columns.
        assert (again == face)[2:-2, 2:-2].all()


def test_members_and_views_are_averaged_by_weight():
    """A network whose local logits are the grey values themselves."""

    def grey(faces, features):
        return np.stack([faces, np.zeros_like(faces)], axis=-1)

    def maps(augmentation, weights, temperature=1.0):
        return ActivationMaps(
            runtimes=[grey, lambda faces, features: 3 * grey(faces, features)],
            face_sizes=[(48, 48), (24, 24)],
            weights=weights,
            num_classes=2,
            temperature=temperature,
            augmentation=augmentation,
        )

    large = np.zeros((1, 48, 48), np.uint8)
    large[:, 10:20, 30:40] = 100
    faces = {(24, 24): large[:, ::2, ::2], (48, 48): large}
    assert (maps("none", [1.0, 0.0])(faces)[:, 0] == large).all()
    assert np.allclose(maps("horizontal_flip", [1.0, 0.0])(faces)[:, 0], large)
    assert np.allclose(maps("none", [1.0, 0.0], 2.0)(faces)[:, 0], large / 2)
    both = maps("none", [1.0, 3.0])(faces)
    assert both.shape == (1, 2, 48, 48)
    # Both show the same square; the second member's is three times as bright.
    assert np.isclose(both[0, 0].mean(), large.mean() * (1 + 9) / 4)
    assert both[0, 0, 15, 35] == pytest.approx(250)
    assert not both[0, 1].any()
    assert maps("shift", [1.0, 1.0])({size: part[:0] for size, part in faces.items()}).shape == (
        0, 2, 48, 48,
    )  # fmt: skip
