"""The work that graph_check counts is in proportion to the time that onnxruntime takes.

``pytest -m slow -s tests/integration/test_graph_time.py`` prints the time of a face at the limit.
"""

import time
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emonet.network.graph_check import MAX_WORK, _work
from emonet.runtimes.onnx_runtime import import_onnxruntime

SHAPE = (16, 64, 64, 64)
WEIGHT, DEPTHWISE = (np.ones((64, count, 3, 3), np.float32) for count in (64, 1))
ROW = np.full(64, 0.01, np.float32)
#: Operators that take the longest for each number, by kind.
OPERATORS: dict[str, tuple[str, dict[str, Any], list[NDArray[Any]]]] = {
    "convolution": ("Conv", {"pads": [1] * 4}, [WEIGHT]),
    "convolution by channel": ("Conv", {"pads": [1] * 4, "group": 64}, [DEPTHWISE]),
    "sides exchanged": ("Transpose", {"perm": [0, 3, 2, 1]}, []),
    "all sides turned": ("Transpose", {"perm": [3, 2, 1, 0]}, []),
    "pooling": ("MaxPool", {"kernel_shape": [3, 3]}, []),
    "dilated pooling": ("MaxPool", {"kernel_shape": [3, 3], "dilations": [2, 2]}, []),
    "softmax over the batch": ("Softmax", {"axis": 0}, []),
    "softmax": ("Softmax", {"axis": 3}, []),
    "product": ("ReduceProd", {}, [np.array([0])]),
    "power": ("Pow", {}, [np.full(1, 2.3, np.float32)]),
    "reversal": ("Gather", {"axis": 3}, [np.arange(64)[::-1]]),
    "PReLU": ("PRelu", {}, [np.ones((64, 1, 64), np.float32)]),
    "cosine": ("Cos", {}, []),
    "large integers": ("Cast", {"to": TensorProto.INT64}, []),
    "scales of a side": ("QuantizeLinear", {"axis": 3}, [ROW, np.zeros(64, np.uint8)]),
    "normalised rows": ("LayerNormalization", {"axis": 3}, [ROW]),
    "normalised images": ("InstanceNormalization", {}, [ROW, ROW]),
    "slices": ("Split", {"axis": 3, "num_outputs": 64}, []),
}


def seconds_at_the_limit(name: str) -> float:
    operator, options, parameters = OPERATORS[name]
    given = [numpy_helper.from_array(value, f"p{i}") for i, value in enumerate(parameters)]
    outputs = [f"y{i}" for i in range(options.get("num_outputs", 1))]
    node = helper.make_node(operator, ["x", *(value.name for value in given)], outputs, **options)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    ends = [onnx.ValueInfoProto(name=output) for output in outputs]
    graph = helper.make_graph([node], "one", [value], ends, given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    runtime = import_onnxruntime()
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    faces = np.random.default_rng(0).random(SHAPE, np.float32)
    best = float("inf")
    for _ in range(2):
        start = time.thread_time()
        answers = session.run(None, {"x": faces})
        best = min(best, time.thread_time() - start)
    shapes = {"x": SHAPE} | {value.name: tuple(value.dims) for value in given}
    shapes |= {output: answer.shape for output, answer in zip(outputs, answers, strict=True)}
    return best * MAX_WORK / _work(node, shapes)


@pytest.mark.slow
def test_no_operator_takes_much_longer_than_a_convolution_of_the_same_work() -> None:
    seconds = {operator: seconds_at_the_limit(operator) for operator in OPERATORS}
    for operator, value in seconds.items():
        print(f"{operator}: {value:.1f} s for each face at the limit")
    assert max(seconds.values()) < 5 * seconds["convolution"]
