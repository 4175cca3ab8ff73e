"""Make random ONNX graphs of every operator; check and run each graph in its own process.

The script ``graph_fuzzer.py FIRST COUNT`` imports onnx and onnxruntime once, forks for each case,
and prints one line of JSON per case. The case number is the random seed.
"""

import json
import os
import random
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.defs import OpSchema, get_all_schemas, get_schema, onnx_opset_version

from emonet.errors import WeightsError
from emonet.network.graph_check import ALLOWED, check_graph
from emonet.network.network import Network
from emonet.runtimes.onnx_runtime import OnnxRuntime, import_onnxruntime

MEMORY = 2 * 2**30
SECONDS = 15
SIDE, CLASSES = 8, 7

#: Numbers that sizes, axes and indices are computed from.
INTEGERS = (-(2**63), -(2**31), -9, -2, -1, 0, 0, 1, 1, 1, 2, 2, 3, 4, 8, 128, 10**6, 2**31, 2**62)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 3e38, -3e38, 1e-45, float("nan"), float("inf"), 7.0)
TEXTS = ("", "constant", "reflect", "edge", "SAME_UPPER", "VALID", "NOTSET", "linear", "x" * 99)
DTYPES = ("float32", "int64", "int32", "int8", "uint8", "bool", "float64", "float16", "uint64")
SCHEMAS = sorted(get_all_schemas(), key=lambda schema: (schema.domain, schema.name))
#: Operators that may pass are tried more often.
LIKELY = [schema for schema in SCHEMAS if schema.name in ALLOWED and not schema.domain]


def make_graph(case: int) -> bytes:
    """Return a graph around one operator with inputs and attributes of all kinds."""
    choose = random.Random(case)
    mild = case % 2 == 0
    schemas = LIKELY if mild else SCHEMAS
    schema = schemas[case // 2 % len(schemas)]
    version = choose.choice([17, 17, 18, 21])
    if mild and schema.since_version > version:
        version = 21
    if mild:
        schema = get_schema(schema.name, version, "")
    faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, [None, SIDE, SIDE])
    answers = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES])
    constants = _constants(choose, DTYPES[: 6 if mild else 9])
    nodes = [
        helper.make_node("Reshape", ["faces", "pixels"], ["grey"]),
        helper.make_node("Reshape", ["faces", "flat"], ["vector"]),
        helper.make_node("MatMul", ["vector", "kernel"], ["scores"]),
        helper.make_node("Shape", ["faces"], ["sizes"]),
        helper.make_node("Greater", ["faces", "zero"], ["bright"]),
        helper.make_node("Cast", ["vector"], ["whole"], to=choose.choice([6, 7, 2, 3])),
    ]
    values = ["faces", "grey", "vector", "scores", "sizes", "bright", "whole", *constants]
    tested = _mild_node(choose, schema) if mild else _node(choose, schema, values)
    name = next(iter(tested.output), "none")
    nodes += [tested, *_ending(choose, name)]
    graph = helper.make_graph(nodes, "graph", [faces], [answers], list(constants.values()))
    versions = [17, 17, 18, 20, 21, 13, onnx_opset_version(), choose.choice([0, 1, 7, 99])]
    opsets = [helper.make_opsetid("", version if mild else choose.choice(versions))]
    if schema.domain or choose.random() < 0.1:
        opsets.append(helper.make_opsetid(schema.domain or "ai.onnx.ml", 1))
    model = helper.make_model(graph, opset_imports=opsets[: choose.choice([0, 2, 2, 2])])
    if mild:
        model.ClearField("opset_import")
        model.opset_import.extend(opsets[:1])
    model.ir_version = 10 if mild else choose.choice([8, 8, 10, 3])
    data = bytearray(model.SerializeToString())
    if choose.random() < 0.05:
        for _ in range(choose.randint(1, 4)):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    return bytes(data)


def _constants(choose: random.Random, dtypes: tuple[str, ...] = DTYPES) -> dict[str, TensorProto]:
    """Return the constants of every case, and some of random type, shape and numbers."""
    fixed = {
        "pixels": np.array([-1, 1, SIDE, SIDE], np.int64),
        "flat": np.array([-1, SIDE * SIDE], np.int64),
        "kernel": np.linspace(-0.01, 0.01, SIDE * SIDE * CLASSES, dtype=np.float32).reshape(-1, 7),
        "zero": np.zeros((), np.float32),
        "weight": np.full((2, 1, 3, 3), 0.1, np.float32),
        "ones": np.ones(1, np.float32),
        "axes": np.array([1], np.int64),
        "end": np.array([3], np.int64),
    }
    for index in range(6):
        shape = [choose.choice([1, 1, 2, 3, 8, 0]) for _ in range(choose.randint(0, 4))]
        dtype = choose.choice(dtypes)
        pool = FLOATS if dtype.startswith("float") else INTEGERS
        numbers = np.array([choose.choice(pool) for _ in range(int(np.prod(shape)))])
        with np.errstate(all="ignore"):
            fixed[f"c{index}"] = numbers.astype(dtype).reshape(shape)
    return {name: numpy_helper.from_array(array, name) for name, array in fixed.items()}


def _node(choose: random.Random, schema: OpSchema, values: list[str]) -> onnx.NodeProto:
    """Return an operator with inputs and attributes that mostly have the right number."""
    high = min(schema.max_input, schema.min_input + 3)
    count = choose.randint(schema.min_input, max(schema.min_input, high))
    if choose.random() < 0.1:
        count = choose.randint(0, 5)
    images = ["faces", "grey", "vector", "scores"]
    inputs = [choose.choice(images if choose.random() < 0.5 else values) for _ in range(count)]
    if inputs and choose.random() < 0.05:
        inputs[choose.randrange(count)] = choose.choice(["", "unknown"])
    outputs = [f"out{i}" for i in range(max(1, min(schema.min_output, 4)))]
    if choose.random() < 0.05:
        outputs = outputs * choose.choice([0, 2])
    node = helper.make_node(schema.name, inputs, outputs, domain=schema.domain)
    for name, attribute in schema.attributes.items():
        if attribute.required or choose.random() < 0.4:
            _add_attribute(choose, node, name, attribute.type.value)
    if choose.random() < 0.05:
        _add_attribute(choose, node, "odd", choose.randint(1, 10))
    return node


def _mild_node(choose: random.Random, schema: OpSchema) -> onnx.NodeProto:
    """Return an operator whose inputs have types that it takes, with one or two odd values."""
    pools = {
        "tensor(float)": ["faces", "grey", "grey", "vector", "scores", "zero", "ones", "weight"],
        "tensor(int64)": ["axes", "axes", "sizes", "pixels", "flat", "end"],
        "tensor(bool)": ["bright"],
        "tensor(int32)": ["whole"],
        "tensor(int8)": ["whole"],
        "tensor(uint8)": ["whole"],
    }
    node = helper.make_node(schema.name, [], ["out0"])
    first = choose.choice(pools["tensor(float)"][:5])
    for index in range(min(schema.max_input, max(schema.min_input, choose.randint(1, 4)))):
        types = schema.inputs[min(index, len(schema.inputs) - 1)].types
        kind = next((kind for kind in pools if kind in types), "tensor(float)")
        name = first if kind == "tensor(float)" and choose.random() < 0.4 else None
        odd = choose.random() < 0.1
        node.input.append(f"c{choose.randrange(6)}" if odd else name or choose.choice(pools[kind]))
    for name, attribute in schema.attributes.items():
        if attribute.required or choose.random() < 0.2:
            _add_attribute(choose, node, name, attribute.type.value)
    return node


def _add_attribute(choose: random.Random, node: onnx.NodeProto, name: str, kind: int) -> None:
    """Add an attribute of a kind (AttributeProto.AttributeType) with any value."""

    def numbers(pool: tuple[float, ...]) -> list[float]:
        return [choose.choice(pool) for _ in range(choose.choice([0, 1, 2, 2, 2, 4, 4]))]

    added = node.attribute.add(name=name, type=kind)
    kinds = onnx.AttributeProto
    small = (0, 1, 1, 2, 3)
    whole = small if choose.random() < 0.6 else INTEGERS
    if kind == kinds.INT:
        added.i = choose.choice([*whole, TensorProto.FLOAT])
    elif kind == kinds.FLOAT:
        added.f = choose.choice(FLOATS)
    elif kind == kinds.STRING:
        added.s = choose.choice(TEXTS).encode()
    elif kind == kinds.INTS:
        added.ints.extend(numbers(whole))
    elif kind == kinds.FLOATS:
        added.floats.extend(numbers(FLOATS))
    elif kind == kinds.STRINGS:
        added.strings.extend(text.encode() for text in TEXTS[:3])
    elif kind == kinds.TENSOR:
        added.t.CopyFrom(choose.choice(list(_constants(choose).values())))
        if choose.random() < 0.2:
            added.t.dims[:] = [choose.choice(INTEGERS) for _ in range(3)]
    elif kind == kinds.GRAPH:
        added.g.CopyFrom(helper.make_graph([], "body", [], []))


def _ending(choose: random.Random, name: str) -> list[onnx.NodeProto]:
    """Return operators that make probabilities of a value, or pass it on as it is."""
    match choose.choice(["mean", "mean", "mean", "as it is", "ignored"]):
        case "mean":
            return [
                helper.make_node("Cast", [name], ["number"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMax", ["number"], ["largest"], keepdims=0),
                helper.make_node("Add", ["scores", "largest"], ["moved"]),
                helper.make_node("Softmax", ["moved"], ["probabilities"], axis=1),
            ]
        case "as it is":
            return [helper.make_node("Identity", [name], ["probabilities"])]
        case _:
            return [helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1)]


def attempt(graph: bytes) -> str:
    """Check a graph and run it on two faces; return how far it came."""
    try:
        check_graph(graph, {}, where="the graph")
    except WeightsError:
        return "refused"
    faces = np.arange(2 * SIDE * SIDE, dtype=np.uint8).reshape(2, SIDE, SIDE)
    try:
        runtime = OnnxRuntime(graph, {})
        network = Network(runtime, {}, face_size=(SIDE, SIDE), num_classes=CLASSES, name="fuzzed")
        network.predict_proba(faces, [])
    except WeightsError:
        return "refused later"
    return "predicted"


def run(case: int) -> dict[str, object]:
    """Run one case in a child; tell its outcome, and what it wrote to stdout and stderr."""
    import resource

    with tempfile.TemporaryFile() as written, tempfile.TemporaryFile() as result:
        child = os.fork()
        if child == 0:
            os.dup2(written.fileno(), 1)
            os.dup2(written.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            try:
                outcome = attempt(make_graph(case))
            except BaseException:
                outcome = traceback.format_exc()
            os.write(result.fileno(), outcome.encode(errors="replace"))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        result.seek(0)
        written.seek(0)
        outcome = result.read().decode()
        if os.WIFSIGNALED(status):
            outcome = signal.Signals(os.WTERMSIG(status)).name
        return {"case": case, "outcome": outcome, "text": written.read().decode(errors="replace")}


def main() -> None:
    """Run the cases that the arguments name."""
    first, count = map(int, sys.argv[1:])
    import_onnxruntime()
    for case in range(first, first + count):
        print(json.dumps(run(case)), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
