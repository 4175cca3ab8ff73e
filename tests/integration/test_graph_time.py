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
#: Operators that take the longest for each number, by kind.
OPERATORS: dict[str, tuple[dict[str, Any], NDArray[Any] | None]] = {
    "Conv": ({"pads": [1] * 4}, np.ones((64, 64, 3, 3), np.float32)),
    "Transpose": ({"perm": [0, 3, 2, 1]}, None),
    "MaxPool": ({"kernel_shape": [3, 3], "dilations": [2, 2]}, None),
    "Softmax": ({"axis": 0}, None),
    "ReduceProd": ({}, np.array([0])),
    "Pow": ({}, np.full(1, 2.3, np.float32)),
    "Gather": ({"axis": 3}, np.arange(64)[::-1]),
    "PRelu": ({}, np.ones((64, 1, 64), np.float32)),
}


def seconds_at_the_limit(operator: str) -> float:
    options, parameter = OPERATORS[operator]
    names = ["x"] if parameter is None else ["x", "parameter"]
    node = helper.make_node(operator, names, ["y"], **options)
    given = [] if parameter is None else [numpy_helper.from_array(parameter, "parameter")]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)
    graph = helper.make_graph([node], "one", [value], [onnx.ValueInfoProto(name="y")], given)
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
        (answer,) = session.run(None, {"x": faces})
        best = min(best, time.thread_time() - start)
    shapes = {"x": SHAPE, "y": answer.shape}
    if parameter is not None:
        shapes["parameter"] = parameter.shape
    return best * MAX_WORK / _work(node, shapes)


@pytest.mark.slow
def test_no_operator_takes_much_longer_than_a_convolution_of_the_same_work() -> None:
    seconds = {operator: seconds_at_the_limit(operator) for operator in OPERATORS}
    for operator, value in seconds.items():
        print(f"{operator}: {value:.1f} s for each face at the limit")
    assert max(seconds.values()) < 15 * seconds["Conv"]
