"""onnxruntime and Keras give the same answers, and predicting needs no Keras."""

import json
import pickle  # noqa: TID251
import re
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.integration.recognizers import with_random_weights

from emonet import EmotionRecognizer
from emonet.assembly.exports import with_graphs
from emonet.assembly.networks import build_network
from emonet.config import HeadConfig
from emonet.errors import ConfigError, WeightsError
from emonet.model import Model
from emonet.network.ensemble import Ensemble
from emonet.network.graph_check import check_graph
from emonet.network.graph_source import require_source
from emonet.network.network import Network, graph_weights
from emonet.runtimes import RUNTIMES
from emonet.runtimes.keras_runtime import KerasRuntime
from emonet.runtimes.onnx_runtime import OnnxRuntime
from emonet.storage.folder import graph_file, read_config, weights_file, write_model
from emonet.storage.sources import BUNDLED, bundled_models

TOLERANCE = 1e-4
MODULES = {"onnxruntime": "onnx_runtime", "keras": "keras_runtime"}
FACES = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)


def shaken(**arguments) -> EmotionRecognizer:
    """Return a recognizer in whose weights no bias is zero and no variance one."""
    recognizer = with_random_weights(EmotionRecognizer("mini", **arguments))
    random = np.random.default_rng(0)
    for weights in recognizer.weights.values():
        for name, array in weights.items():
            noise = np.abs(random.normal(0, 0.02, array.shape))
            weights[name] = (array + noise).astype(np.float32)
    return recognizer


@pytest.fixture(scope="module")
def folder(mini_backbone: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini") / "model"
    shaken().save_pretrained(folder)
    return folder


def rewrite_graph(folder: Path, graph: bytes, *, name: str = "mini") -> None:
    """Put another graph into a model folder, with its right digest."""
    recognizer = EmotionRecognizer.from_pretrained(folder, runtime="keras")
    write_model(folder, replace(recognizer.model, graphs={name: graph}))


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models_give_the_same_answers_on_both_runtimes(name, tmp_path):
    fast = EmotionRecognizer.from_pretrained(name, runtime="onnxruntime")
    reference = EmotionRecognizer.from_pretrained(name, runtime="keras")
    assert set(fast.runtimes.values()) == {"onnxruntime"}
    assert set(reference.runtimes.values()) == {"keras"}
    answers, expected = fast.predict_proba(FACES), reference.predict_proba(FACES)
    assert answers.dtype == np.float32
    config = fast.config.with_graph_precision("float32")
    if config != fast.config:
        # Keras computes in float what the graph does in int8: alike, and measurably not the same.
        assert TOLERANCE < abs(answers - expected).mean() < 0.02
        model = with_graphs(Model(config=config, weights=fast.weights))
        write_model(tmp_path / "float", model)
        fast = EmotionRecognizer.from_pretrained(tmp_path / "float", runtime="onnxruntime")
        answers = fast.predict_proba(FACES)
    np.testing.assert_allclose(answers, expected, atol=TOLERANCE)


def test_sizes_that_a_graph_computes_are_known_beforehand():
    from keras import Input, Model, layers

    from emonet.network.graphs import export_graph

    faces = Input((48, 48), name="faces")
    x = layers.GroupNormalization(groups=1)(layers.Reshape((48, 48, 1))(faces))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    x = layers.Dense(7, "softmax", name="probabilities")(layers.GlobalAveragePooling2D()(x))
    graph = onnx.load_from_string(export_graph(Model([faces], x))).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    (convolution,) = [node for node in graph.node if node.op_type == "Conv"]
    # Else onnxruntime would not fuse what follows.
    assert [size.dim_value for size in shapes[convolution.output[0]][1:]] == [4, 24, 24]


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_graphs_are_what_a_stranger_may_bring(name):
    for network in read_config(BUNDLED / name / "config.json").networks:
        graph = (BUNDLED / name / graph_file(network.name)).read_bytes()
        weights = EmotionRecognizer.from_pretrained(name).weights[network.name]
        given = graph_weights(weights, network.graph_precision)
        check_graph(graph, given, where="the graph")
        if network.graph_precision == "int8":
            require_source(graph, weights, where="the graph")


@pytest.mark.parametrize(
    "arguments",
    [
        {"head": HeadConfig(units=(16, 8))},
        {"subtract_mean_face": True},
        {"face_size": (40, 44)},
        {"features": {"bovw": {"landmarks": False}}, "head": HeadConfig(feature_units=8)},
    ],
    ids=["deep head", "subtract_mean_face", "resized", "features"],
)
def test_every_part_of_a_network_has_its_place_in_the_graph(arguments, mini_backbone, tmp_path):
    recognizer = shaken(**arguments)
    recognizer.save_pretrained(tmp_path)
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    assert set(loaded.runtimes.values()) == {"onnxruntime"}
    answers = loaded.predict_proba(FACES)
    assert answers.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(answers, recognizer.predict_proba(FACES), atol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("resnet18", {"dropout": 0.2}),
        ("resnet50", {}),
        ("resnet50", {"variant": "vggface2"}),
        ("inception_resnet_v2", {}),
        ("densenet", {"dropout": 0.2}),
        ("inception", {"dropout": 0.2}),
        ("vgg", {}),
        ("vgg", {"dropout": 0.2}),
    ],
)
def test_every_backbone_has_a_graph(backbone, options):
    from emonet.network.graphs import export_graph

    config = EmotionRecognizer(backbone, backbone_config=options).config.networks[0]
    # It compares onnxruntime's answers with Keras'.
    assert len(export_graph(build_network(config, num_classes=7).model)) < 2**21


def test_weights_lie_in_the_folder_once(folder):
    weights = EmotionRecognizer.from_pretrained(folder).weights["mini"]
    graph = onnx.load(folder / graph_file("mini"), load_external_data=False).graph
    outside = {t.name for t in graph.initializer if t.data_location == TensorProto.EXTERNAL}
    assert outside == set(weights)
    assert sum(len(tensor.raw_data) for tensor in graph.initializer) < 1000


def test_predicting_imports_neither_tensorflow_nor_keras():
    code = (
        "import sys, numpy as np; from emonet import EmotionRecognizer;"
        "r = EmotionRecognizer.from_pretrained();"
        "r.predict_proba(np.zeros((2, 48, 48), np.uint8));"
        "r.predict(np.zeros((200, 200, 3), np.uint8));"
        "print([m for m in ('tensorflow', 'keras', 'jax', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_folder_without_graphs_is_run_by_keras(folder, tmp_path):
    recognizer = EmotionRecognizer.from_pretrained(folder)
    write_model(tmp_path, replace(recognizer.model, graphs={}))
    assert not (tmp_path / graph_file("mini")).exists()
    bare = EmotionRecognizer.from_pretrained(tmp_path)
    assert bare.runtimes == {"mini": "keras"}
    np.testing.assert_allclose(
        bare.predict_proba(FACES), recognizer.predict_proba(FACES), atol=TOLERANCE
    )
    with pytest.raises(WeightsError, match="no graph of mini for onnxruntime"):
        EmotionRecognizer.from_pretrained(tmp_path, runtime="onnxruntime")
    bare.save_pretrained(tmp_path)
    assert EmotionRecognizer.from_pretrained(tmp_path).runtimes == {"mini": "onnxruntime"}


def test_an_ensemble_takes_its_members_graphs_along(folder, tmp_path):
    member = EmotionRecognizer.from_pretrained(folder)
    both = EmotionRecognizer.ensemble([member, member])
    assert both.runtimes == {"mini": "onnxruntime", "mini_2": "onnxruntime"}
    both.save_pretrained(tmp_path)
    assert (tmp_path / "mini_2.onnx").read_bytes() == (folder / "mini.onnx").read_bytes()
    np.testing.assert_allclose(
        EmotionRecognizer.from_pretrained(tmp_path).predict_proba(FACES),
        member.predict_proba(FACES),
        atol=1e-6,
    )


def test_a_network_that_onnx_lacks_a_form_for_is_saved_without_a_graph(
    mini_backbone, tmp_path, monkeypatch, caplog
):
    import keras

    from emonet.network import fusion

    class Singular(keras.layers.Layer):
        def call(self, x):
            return x + keras.ops.svd(keras.ops.reshape(x, (-1, 1, 7)), compute_uv=False)

    plain = fusion.build_model

    def build(*arguments, **options):
        model = plain(*arguments, **options)
        return keras.Model(model.inputs, keras.layers.Softmax()(Singular()(model.output)))

    recognizer = shaken()
    monkeypatch.setattr(fusion, "build_model", build)
    recognizer.save_pretrained(tmp_path)
    assert "has no graph" in caplog.text
    assert not (tmp_path / graph_file("mini")).exists()
    assert (tmp_path / weights_file("mini")).exists()


def test_a_runtime_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="runtime must be 'onnxruntime' or 'keras', got 'torch'"):
        EmotionRecognizer.from_pretrained(runtime="torch")


@pytest.mark.parametrize("runtime", ["onnxruntime", "keras"])
def test_a_gpu_that_is_not_there_is_said_with_what_to_do(runtime, folder, monkeypatch):
    spec = replace(RUNTIMES[runtime], devices=lambda: ("cpu",))
    monkeypatch.setitem(RUNTIMES, runtime, spec)
    monkeypatch.setattr(f"emonet.runtimes.{MODULES[runtime]}._devices", spec.devices)
    message = rf"device='cuda': {runtime} finds only cpu here\. Install .*, or use device='cpu'"
    with pytest.raises(ConfigError, match=f"(?i){message}"):
        EmotionRecognizer.from_pretrained(folder, runtime=runtime, device="cuda")
    for device in ("auto", "cpu"):
        there = EmotionRecognizer.from_pretrained(folder, runtime=runtime, device=device)
        assert there.predict_proba(FACES).shape == (20, 7)


def test_a_device_that_does_not_exist_is_named(folder):
    for make in (
        EmotionRecognizer,
        lambda **options: EmotionRecognizer.from_pretrained(folder, **options),
    ):
        with pytest.raises(
            ConfigError, match="device must be 'auto', 'cpu' or 'cuda', got 'nonsense'"
        ):
            make(device="nonsense")


@pytest.mark.parametrize("runtime", ["onnxruntime", "keras"])
@pytest.mark.parametrize("augmentation", ["none", "horizontal_flip"])
def test_a_network_computes_at_most_batch_size_faces_at_once(
    runtime, augmentation, folder, monkeypatch
):
    kind = {"onnxruntime": OnnxRuntime, "keras": KerasRuntime}[runtime]
    sizes, whole = [], kind.__call__

    def counting(self, faces, features):
        sizes.append(len(faces))
        return whole(self, faces, features)

    monkeypatch.setattr(kind, "__call__", counting)
    recognizer = EmotionRecognizer.from_pretrained(folder, runtime=runtime, batch_size=6)
    usual = EmotionRecognizer.from_pretrained(folder, runtime=runtime)
    expected = usual.with_test_time_augmentation(augmentation).predict_proba(FACES)
    copied = pickle.loads(pickle.dumps(recognizer))
    for one in (recognizer, copied):
        sizes.clear()
        answers = one.with_test_time_augmentation(augmentation).predict_proba(FACES)
        assert sizes == [6, 6, 6, 2] * (1 if augmentation == "none" else 2)
        np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8", None])
def test_a_batch_size_that_is_none_is_refused(size, folder):
    for make in (EmotionRecognizer, partial(EmotionRecognizer.from_pretrained, folder)):
        with pytest.raises(ConfigError, match="batch_size must be a whole number in 1"):
            make(batch_size=size)


def test_threads_that_share_a_recognizer_get_what_one_gets(folder):
    alone = EmotionRecognizer.from_pretrained(folder).predict_proba(FACES)
    for runtime in ("onnxruntime", "keras"):
        shared = EmotionRecognizer.from_pretrained(folder, runtime=runtime)
        answers: list[np.ndarray] = []
        start = threading.Barrier(8)

        def ask(shared=shared, answers=answers, start=start):
            start.wait()
            answers.append(shared.predict_proba(FACES))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 8
        for answer in answers:
            np.testing.assert_allclose(answer, alone, atol=TOLERANCE)


class TestStrangersGraphs:
    def graph(self, *nodes: onnx.NodeProto, initializers=()) -> bytes:
        faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, [None, 48, 48])
        out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 7])
        made = helper.make_graph(list(nodes), "graph", [faces], [out], list(initializers))
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString()

    def test_one_that_loops_is_refused(self, folder, tmp_path):
        body = helper.make_graph([], "body", [], [])
        loop = helper.make_node("Loop", ["", "", "faces"], ["probabilities"], body=body)
        self.refused(folder, tmp_path, self.graph(loop), "operator 'Loop'")

    def test_one_with_operators_of_its_own_is_refused(self, folder, tmp_path):
        own = helper.make_node("Relu", ["faces"], ["probabilities"], domain="com.example")
        self.refused(folder, tmp_path, self.graph(own), "operator 'Relu'")

    def test_one_that_reads_a_file_is_refused(self, folder, tmp_path):
        secret = TensorProto(name="secret", data_type=TensorProto.UINT8, dims=[100])
        secret.data_location = TensorProto.EXTERNAL
        secret.external_data.add(key="location", value="/etc/passwd")
        relu = helper.make_node("Relu", ["faces"], ["probabilities"])
        graph = self.graph(relu, initializers=[secret])
        self.refused(folder, tmp_path, graph, "asks for data 'secret'")

    def test_a_constant_from_a_file_is_refused(self, folder, tmp_path):
        secret = TensorProto(data_type=TensorProto.UINT8, dims=[100])
        secret.data_location = TensorProto.EXTERNAL
        secret.external_data.add(key="location", value="/etc/passwd")
        constant = helper.make_node("Constant", [], ["probabilities"], value=secret)
        self.refused(folder, tmp_path, self.graph(constant), "data of an attribute")

    def test_a_sparse_constant_is_refused(self, folder, tmp_path):
        secret = TensorProto(data_type=TensorProto.FLOAT, dims=[2])
        secret.data_location = TensorProto.EXTERNAL
        secret.external_data.add(key="location", value="secret.bin")
        places = helper.make_tensor("places", TensorProto.INT64, [2], [0, 1])
        sparse = helper.make_sparse_tensor(secret, places, [7])
        constant = helper.make_node("Constant", [], ["probabilities"], sparse_value=sparse)
        self.refused(folder, tmp_path, self.graph(constant), "the attribute 'sparse_value'")

    def test_one_that_makes_much_of_little_while_it_is_loaded_is_refused(self, folder, tmp_path):
        size = helper.make_tensor("size", TensorProto.INT64, [1], [2**50])
        zeros = helper.make_node("ConstantOfShape", ["size"], ["zeros"])
        out = helper.make_node("ReduceMax", ["zeros"], ["probabilities"])
        graph = self.graph(zeros, out, initializers=[size])
        self.refused(folder, tmp_path, graph, "operator 'ConstantOfShape'")

    def test_a_value_as_large_as_the_faces_say_is_no_constant(self):
        expand = helper.make_node("Expand", ["token", "wanted"], ["probabilities"])
        graph = self.graph(*self.sizes(), expand, initializers=self.numbers())
        check_graph(graph, {}, where="the graph")

    def test_a_value_too_large_for_a_batch_is_refused(self):
        expand = helper.make_node("Expand", ["token", "wanted"], ["large"])
        out = helper.make_node("ReduceMax", ["large"], ["most"], axes=[1])
        add = helper.make_node("Expand", ["most", "wanted"], ["probabilities"])
        nodes = (*self.sizes(), expand, out, add)
        self.no_graph(self.graph(*nodes, initializers=self.numbers(2**23)), "4 GiB with Expand")

    def test_a_size_that_is_computed_from_the_batch_is_refused(self):
        # 64 faces would give a larger result than 1 or 128.
        nodes = [
            helper.make_node("Shape", ["faces"], ["sides"], end=1),
            helper.make_node("Sub", ["most", "sides"], ["left"]),
            helper.make_node("Mul", ["left", "sides"], ["much"]),
            helper.make_node("Concat", ["much", "seven"], ["wanted"], axis=0),
            helper.make_node("Expand", ["token", "wanted"], ["probabilities"]),
        ]
        most = helper.make_tensor("most", TensorProto.INT64, [1], [129])
        graph = self.graph(*nodes, initializers=[*self.numbers(), most])
        self.no_graph(graph, "computes the size of the result of Expand, which is not")

    def test_constants_that_become_many_are_refused(self):
        many = [helper.make_node("Concat", ["token"] * 1024, ["x0"], axis=0)]
        many += [
            helper.make_node("Concat", [f"x{i}"] * 2, [f"x{i + 1}"], axis=0) for i in range(14)
        ]
        many += [helper.make_node("ReduceMax", ["x14"], ["most"], axes=[0])]
        many += [helper.make_node("Expand", ["most", "wanted"], ["probabilities"])]
        graph = self.graph(*self.sizes(), *many, initializers=self.numbers())
        self.no_graph(graph, "MiB of constants, which is too much")

    def test_products_of_constants_are_refused(self):
        square = numpy_helper.from_array(np.ones((7, 7), np.float32), "square")
        nodes = [
            helper.make_node("MatMul", ["square", "square"], ["product"]),
            helper.make_node("ReduceMax", ["product"], ["most"], axes=[0]),
            helper.make_node("Expand", ["most", "wanted"], ["probabilities"]),
        ]
        graph = self.graph(*self.sizes(), *nodes, initializers=[*self.numbers(), square])
        self.no_graph(graph, "computes constants with MatMul")

    def test_one_that_would_take_hours_is_refused(self):
        products = [
            helper.make_node("MatMul", [f"x{i}", f"x{i}"], [f"x{i + 1}"]) for i in range(9999)
        ]
        first = helper.make_node("Resize", ["faces", "", "", "large"], ["x0"])
        last = helper.make_node("ReduceMax", ["x9999"], ["most"], axes=[2], keepdims=0)
        out = helper.make_node("Slice", ["most", "start", "end", "axis"], ["probabilities"])
        numbers = {"large": [128, 512, 512], "start": [0], "end": [7], "axis": [1]}
        constants = [numpy_helper.from_array(np.array(v), k) for k, v in numbers.items()]
        graph = self.graph(first, *products, last, out, initializers=constants)
        self.no_graph(graph, "operations for each face")

    @pytest.mark.parametrize(
        ("operator", "options", "slow"),
        [
            ("Relu", {}, False),
            ("Transpose", {"perm": [0, 2, 1]}, False),
            ("Transpose", {"perm": [2, 1, 0]}, True),
            ("Transpose", {"perm": [1, 2, 0]}, True),
            ("MaxPool", {"kernel_shape": [1]}, False),
            ("MaxPool", {"kernel_shape": [1], "dilations": [2]}, True),
            ("AveragePool", {"kernel_shape": [1], "ceil_mode": 1}, True),
            ("Softmax", {"axis": 1}, True),
            ("ReduceLogSumExp", {"axes": [2], "keepdims": 0}, True),
        ],
    )
    def test_operators_count_by_the_time_that_they_take(self, operator, options, slow):
        steps = [helper.make_node(operator, ["x0"], [f"x{i + 1}"], **options) for i in range(1000)]
        first = helper.make_node("Resize", ["faces", "", "", "large"], ["x0"])
        last = helper.make_node("ReduceMax", ["x0"], ["most"], axes=[2], keepdims=0)
        out = helper.make_node("Slice", ["most", "start", "end", "axis"], ["probabilities"])
        numbers = {"large": [128, 512, 512], "start": [0], "end": [7], "axis": [1]}
        constants = [numpy_helper.from_array(np.array(v), k) for k, v in numbers.items()]
        graph = self.graph(first, *steps, last, out, initializers=constants)
        if slow:
            self.no_graph(graph, "operations for each face")
        else:
            check_graph(graph, {}, where="the graph")

    def test_cubic_interpolation_is_refused(self):
        first = helper.make_node("Resize", ["faces", "", "", "large"], ["x0"], mode="cubic")
        last = helper.make_node("ReduceMax", ["x0"], ["probabilities"], axes=[2], keepdims=0)
        large = numpy_helper.from_array(np.array([128, 7, 512]), "large")
        graph = self.graph(first, last, initializers=[large])
        self.no_graph(graph, "a value of mode")

    @pytest.mark.parametrize("operator", ["Div", "Neg", "ReduceMean"])
    def test_integers_are_not_divided(self, operator):
        """INT_MIN / -1 ends the process."""
        inputs = ["most", "minus"][: 2 if operator == "Div" else 1]
        nodes = [
            helper.make_node(operator, inputs, ["quotient"]),
            helper.make_node("Cast", ["quotient"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Expand", ["token", "wanted"], ["answers"]),
            helper.make_node("Add", ["answers", "number"], ["probabilities"]),
        ]
        constants = {"most": [-(2**31)], "minus": [-1]}
        arrays = [numpy_helper.from_array(np.array(v, np.int32), k) for k, v in constants.items()]
        graph = self.graph(*self.sizes(), *nodes, initializers=[*self.numbers(), *arrays])
        self.no_graph(graph, f"operator {operator} for integers")

    @pytest.mark.parametrize(
        "operator",
        ["RegexFullMatch", "Mod", "Loop", "If", "Scan", "NonZero", "Range", "RandomNormal"],
    )
    def test_operators_of_no_network_are_refused(self, operator):
        node = helper.make_node(operator, ["faces"], ["probabilities"])
        self.no_graph(self.graph(node), f"operator '{operator}'")

    def test_an_operator_without_its_inputs_is_refused_before_onnx_looks_at_it(self):
        """Native shape inference of onnx ends the process for some of them."""
        for data in (
            # The operator RegexFullMatch without an attribute, in a graph without inputs.
            helper.make_model(
                helper.make_graph([helper.make_node("RegexFullMatch", ["a"], ["b"])], "g", [], []),
                opset_imports=[helper.make_opsetid("", 20)],
            ).SerializeToString(),
            self.graph(helper.make_node("Conv", ["faces"], ["probabilities"])),
            self.graph(helper.make_node("Relu", [], ["probabilities"])),
            self.graph(helper.make_node("Relu", [""], ["probabilities"])),
            self.graph(helper.make_node("Transpose", ["faces"], ["probabilities"], odd=1)),
            self.graph(helper.make_node("Transpose", ["faces"], ["probabilities"], perm="x")),
            self.graph(helper.make_node("Concat", ["faces"], ["probabilities"])),
            self.graph(helper.make_node("Relu", ["later"], ["probabilities"])),
        ):
            self.no_graph(data, "the graph ")

    def test_the_version_of_the_operators_must_be_known(self):
        model = onnx.load_from_string(self.graph(helper.make_node("Relu", ["faces"], ["x"])))
        for versions in ([], [12], [99], [17, 17]):
            del model.opset_import[:]
            model.opset_import.extend(helper.make_opsetid("", version) for version in versions)
            self.no_graph(model.SerializeToString(), "ONNX opset .*, expected 13 to 21")

    def test_a_constant_with_less_data_than_it_says_is_refused(self):
        short = TensorProto(name="short", data_type=TensorProto.FLOAT, dims=[100], raw_data=b"1234")
        node = helper.make_node("Add", ["faces", "short"], ["probabilities"])
        self.no_graph(self.graph(node, initializers=[short]), "data have the wrong size")

    def no_graph(self, graph: bytes, message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            check_graph(graph, {}, where="the graph")

    def numbers(self, width: int = 7) -> list[TensorProto]:
        return [
            helper.make_tensor("token", TensorProto.FLOAT, [1, 1], [0.0]),
            helper.make_tensor("seven", TensorProto.INT64, [1], [width]),
        ]

    def sizes(self) -> list[onnx.NodeProto]:
        """Compute the shape (n, 7) of n faces from the constants that numbers returns."""
        return [
            helper.make_node("Shape", ["faces"], ["batch"], end=1),
            helper.make_node("Concat", ["batch", "seven"], ["wanted"], axis=0),
        ]

    def test_one_in_int8_is_given_no_weights(self, tmp_path):
        tiny = EmotionRecognizer.from_pretrained("tiny")
        tiny.save_pretrained(tmp_path)
        (network,) = tiny.config.networks
        model = onnx.load(tmp_path / graph_file(network.name))
        tensor = model.graph.initializer[0]
        known = next(iter(tiny.weights[network.name]))  # the model has data of this name
        for node in model.graph.node:
            node.input[:] = [known if name == tensor.name else name for name in node.input]
        tensor.name = known
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="secret.bin")
        rewrite_graph(tmp_path, model.SerializeToString(), name=network.name)
        with pytest.raises(WeightsError, match=f"asks for data '{tensor.name}'"):
            EmotionRecognizer.from_pretrained(tmp_path)

    def test_what_is_no_graph_is_refused(self, folder, tmp_path):
        self.refused(folder, tmp_path, b"\xff" * 100, "is not an ONNX file")

    def test_one_that_needs_other_weights_is_refused(self, folder, tmp_path):
        self.copy(folder, tmp_path)
        model = onnx.load(folder / graph_file("mini"), load_external_data=False)
        kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 3)
        kernel.dims[1] += 1
        rewrite_graph(tmp_path, model.SerializeToString())
        with pytest.raises(WeightsError, match="it belongs to another network"):
            EmotionRecognizer.from_pretrained(tmp_path)

    def test_one_that_grows_without_end_is_stopped(self, folder, tmp_path):
        doublings = [
            helper.make_node("Concat", [f"x{i}", f"x{i}"], [f"x{i + 1}"], axis=1) for i in range(40)
        ]
        first = helper.make_node("Identity", ["faces"], ["x0"])
        last = helper.make_node("ReduceMax", ["x40"], ["most"], axes=[1, 2], keepdims=0)
        seven = helper.make_tensor("seven", TensorProto.INT64, [2], [-1, 1])
        column = helper.make_node("Reshape", ["most", "seven"], ["column"])
        out = helper.make_node("Concat", ["column"] * 7, ["probabilities"], axis=1)
        nodes = [first, *doublings, last, column, out]
        self.copy(folder, tmp_path)
        rewrite_graph(tmp_path, self.graph(*nodes, initializers=[seven]))
        with pytest.raises(WeightsError, match="GiB with Concat for 128 faces"):
            EmotionRecognizer.from_pretrained(tmp_path)

    def test_an_altered_graph_is_refused(self, folder, tmp_path):
        self.copy(folder, tmp_path)
        data = bytearray((tmp_path / graph_file("mini")).read_bytes())
        data[len(data) // 2] ^= 1
        (tmp_path / graph_file("mini")).write_bytes(data)
        with pytest.raises(WeightsError, match=r"mini\.onnx was altered or damaged"):
            EmotionRecognizer.from_pretrained(tmp_path)

    def copy(self, folder: Path, target: Path) -> None:
        recognizer = EmotionRecognizer.from_pretrained(folder)
        recognizer.save_pretrained(target)
        assert json.loads((target / "config.json").read_text())["files"].keys() == {
            "mini.onnx",
            "mini.safetensors",
        }

    def refused(self, folder: Path, target: Path, graph: bytes, message: str) -> None:
        self.copy(folder, target)
        rewrite_graph(target, graph)
        with pytest.raises(WeightsError, match=message):
            EmotionRecognizer.from_pretrained(target)
        # The reference does not look at it.
        EmotionRecognizer.from_pretrained(target, runtime="keras").predict_proba(FACES)


class Answers:
    """A runtime whose answers a function makes of the number of faces."""

    def __init__(self, answer) -> None:
        self.answer = answer

    def __call__(self, faces, features):
        return self.answer(len(faces))


GOOD = np.array([0.5, 0.25, 0.25, 0, 0, 0, 0], np.float32)


def rows(row, dtype=np.float32):
    return lambda count: np.tile(np.array(row, dtype), (count, 1))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda count: GOOD[np.newaxis], "float32 of shape (1, 7)"),
        (lambda count: np.empty((0, 7), np.float32), "float32 of shape (0, 7)"),
        (lambda count: np.tile(GOOD, (2 * count, 1)), "float32 of shape (40, 7)"),
        (lambda count: np.float32(1), "float32 of shape ()"),
        (rows(GOOD[:6]), "float32 of shape (20, 6)"),
        (rows(["anger"] * 7, str), "<U5 of shape (20, 7)"),
        (rows([1, 0, 0, 0, 0, 0, 0], np.int64), "int64 of shape (20, 7)"),
        (rows([1, 0, 0, 0, 0, 0, 0], bool), "bool of shape (20, 7)"),
        (rows([np.nan] * 7), "NaN or infinity"),
        (rows([8, -7, 0, 0, 0, 0, 0]), "values from -7 to 8"),
        (rows([0.6, -0.1, 0.5, 0, 0, 0, 0]), "values from -0.1 to 0.6"),
        (rows([0] * 7), "rows that sum to 0 to 0"),
        (rows([0.5] * 7), "rows that sum to 3.5 to 3.5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("augmentation", ["none", "horizontal_flip"])
def test_answers_that_are_no_probabilities_are_refused(answer, message, augmentation):
    network = Network(Answers(answer), {}, face_size=(48, 48), num_classes=7, name="odd")
    ensemble = Ensemble(networks=[network], weights=[1], temperature=2, augmentation=augmentation)
    if augmentation == "none":
        with pytest.raises(WeightsError, match=f"network odd .*{re.escape(message)}"):
            ensemble.predict_proba({(48, 48): FACES})
    else:
        with pytest.raises(WeightsError, match="network odd returns no probabilities"):
            ensemble.predict_proba({(48, 48): FACES})


@pytest.mark.parametrize("temperature", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("augmentation", ["none", "horizontal_flip", "shift"])
def test_answers_that_are_a_little_off_stay_probabilities(temperature, augmentation):
    off = GOOD + np.array([9e-4, 0, 0, 0, 0, 0, -9e-4], np.float32)
    networks = [
        Network(Answers(rows(row, dtype)), {}, face_size=(48, 48), num_classes=7, name="off")
        for row, dtype in ((off, np.float64), (GOOD, np.float16))
    ]
    answers = Ensemble(
        networks=networks, weights=[1, 2], temperature=temperature, augmentation=augmentation
    ).predict_proba({(48, 48): FACES})
    assert answers.dtype == np.float32
    assert answers.shape == (20, 7)
    assert answers.min() >= 0
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=2e-3)


def test_keras_compiles_once_per_batch_size_however_many_faces_come(mini_backbone):
    import keras

    from emonet.runtimes.keras_runtime import BATCH_SIZES, KerasRuntime

    traced = []

    class Counting(keras.layers.Layer):
        def call(self, faces):
            traced.append(faces.shape[0])
            return keras.ops.mean(faces, axis=2)

    faces = keras.Input((48, 48))
    runtime = KerasRuntime(keras.Model([faces], Counting()(faces)))
    traced.clear()
    for count in [*range(1, 129), *range(1, 129)]:
        assert runtime(np.zeros((count, 48, 48), np.float32), []).shape == (count, 48)
    assert len(traced) <= len(BATCH_SIZES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("for _ in range(10_000): recognizer.predict_proba(faces[:1])", 20),
        ("for _ in recognizer.stream(photos(10_000)): pass", 300),
    ],
    ids=["single faces", "images from a generator"],
)
def test_memory_does_not_grow_with_what_was_done(code, limit):
    program = f"""
import gc
import numpy as np
from emonet import EmotionRecognizer

recognizer = EmotionRecognizer.from_pretrained("fast", detector="whole_image")
faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48), np.uint8)

def photos(count):
    for index in range(count):
        yield np.full((480, 640, 3), index % 256, np.uint8)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

recognizer.predict_proba(faces)
list(recognizer.stream(photos(200)))
before = resident()
{code}
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < limit
