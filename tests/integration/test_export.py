"""Exported files hold all that other programs need."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Run, edit_config
from tests.integration.recognizers import with_random_weights

import emonet
from emonet import EmotionRecognizer, load_dataset
from emonet.errors import ConfigError, ExportError, NotFittedError

FACES = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)

#: Programs that run an exported file, and know nothing of emonet.
ONNX = """
import sys, numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
faces = np.load(sys.argv[2]).astype(np.float32)
np.save(sys.argv[3], session.run(["probabilities"], {"faces": faces})[0])
"""
LITERT = """
import sys, numpy as np, tensorflow as tf
interpreter = tf.lite.Interpreter(sys.argv[1])
faces = np.load(sys.argv[2]).astype(np.float32)
(given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
interpreter.resize_tensor_input(given["index"], faces.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(given["index"], faces)
interpreter.invoke()
np.save(sys.argv[3], interpreter.get_tensor(taken["index"]))
"""


@pytest.fixture(scope="module")
def recognizer(mini_backbone: None) -> EmotionRecognizer:
    """Two members of different face sizes, weighted, calibrated, with a prior, that look twice."""
    members = []
    for seed, size in enumerate([(48, 48), (40, 40)]):
        options = {"input_size": list(size)}
        member = EmotionRecognizer("mini", face_size=size, backbone_config=options)
        with_random_weights(member, seed)
        members.append(member)
    whole = EmotionRecognizer.ensemble(members)
    networks = [replace(n, weight=w) for n, w in zip(whole.config.networks, (3, 1), strict=True)]
    config = replace(whole.config, networks=tuple(networks), temperature=1.5)
    whole._become(replace(whole.model, config=config))
    counts = {label: 10 * (1 + index) for index, label in enumerate(whole.labels)}
    whole = whole.with_prior("balanced", strength=0.5, training=counts)
    return whole.with_test_time_augmentation("horizontal_flip")


def run_elsewhere(program, file, tmp_path, faces=FACES):
    """Run a program in a process of its own, in isolated mode."""
    np.save(tmp_path / "faces.npy", faces)
    arguments = [file, tmp_path / "faces.npy", tmp_path / "answers.npy"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "answers.npy")


@pytest.mark.parametrize(("format", "program"), [("onnx", ONNX), ("litert", LITERT)])
def test_exported_file_answers_as_the_recognizer_does(format, program, recognizer, tmp_path):
    file = tmp_path / "new" / "model"
    recognizer.export(file, format=format)
    answers = run_elsewhere(program, file, tmp_path)
    expected = recognizer.predict_proba(FACES)
    assert expected.std(axis=0).max() > 1e-3
    # The smaller faces are made within the file, where grey values are not whole numbers.
    np.testing.assert_allclose(answers, expected, atol=0.002)
    assert list(file.parent.iterdir()) == [file]


def test_one_member_of_the_full_size_agrees_to_the_last_digits(recognizer, tmp_path):
    first = EmotionRecognizer("mini")
    with_random_weights(first)
    first.export(tmp_path / "model.onnx")
    answers = run_elsewhere(ONNX, tmp_path / "model.onnx", tmp_path)
    np.testing.assert_allclose(answers, first.predict_proba(FACES), atol=1e-5)


def test_feature_extractors_have_no_place_in_a_file(mini_backbone, tmp_path):
    fused = EmotionRecognizer("mini", {"bovw": {"landmarks": False}})
    fused._become(replace(fused.model, weights={"mini_bovw": {}}))
    with pytest.raises(ExportError, match="uses the feature extractor bovw"):
        fused.export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_recognizers_file_is_of_the_format_that_its_suffix_tells(recognizer, tmp_path):
    recognizer.export(tmp_path / "model.tflite")
    assert (tmp_path / "model.tflite").read_bytes()[4:8] == b"TFL3"
    recognizer.export(tmp_path / "model.onnx")
    onnx.load(tmp_path / "model.onnx")


def test_what_has_not_learnt_is_not_exported(mini_backbone, tmp_path):
    with pytest.raises(NotFittedError):
        EmotionRecognizer("mini").export(tmp_path / "model.onnx")


def test_a_format_that_does_not_exist_is_named(recognizer, tmp_path):
    with pytest.raises(ConfigError, match="'litert' or 'transformers-js', got 'pickle'"):
        recognizer.export(tmp_path / "model", format="pickle")


@pytest.fixture
def resizing(mini_backbone):
    """A network that enlarges faces itself."""
    resizing = EmotionRecognizer("mini", face_size=(40, 40))
    with_random_weights(resizing)
    return resizing


def test_resizing_within_a_network_has_a_form_in_litert(resizing, tmp_path):
    resizing.export(tmp_path / "model.tflite", format="litert")
    faces = FACES[:, :40, :40]
    answers = run_elsewhere(LITERT, tmp_path / "model.tflite", tmp_path, faces)
    np.testing.assert_allclose(answers, resizing.predict_proba(faces), atol=1e-4)


@pytest.mark.parametrize(("old", "new"), [((40, 40), (48, 48)), ((48, 40), (20, 31))])
def test_faces_are_resized_as_keras_does(old, new):
    from emonet.network.resizing import Resized, bicubic

    faces = FACES[:, : old[0], : old[1]].astype(np.float32)
    expected = keras.layers.Resizing(*new, interpolation="bicubic")(faces[..., None])
    resized = Resized(*map(bicubic, old, new))(faces)
    np.testing.assert_allclose(resized, np.asarray(expected)[..., 0], atol=1e-3)


def test_what_only_tensorflow_itself_runs_is_no_litert_file(resizing, tmp_path, monkeypatch):
    from emonet.network import fusion

    class Bicubic(keras.layers.Layer):
        def call(self, faces):
            return keras.ops.image.resize(faces[..., None], (48, 48), "bicubic")[..., 0]

    monkeypatch.setattr(fusion, "Resized", lambda *matrices, **options: Bicubic(**options))
    with pytest.raises(ExportError, match="LiteRT lacks the operations ResizeBicubic"):
        resizing.export(tmp_path / "model.tflite", format="litert")


def test_the_command_makes_convolutions_int8_and_tells_the_cost(
    run, tiny_folder, fer2013_csv, tmp_path
):
    file = tmp_path / "model.onnx"
    options = ("--precision", "int8", "--data", fer2013_csv, "--tolerance", "50")
    done = run("export", tiny_folder, "--out", file, *options)
    assert done.status == 0, done.err
    assert "Accuracy on 42 validation faces: float32 " in done.err
    graph = onnx.load(file).graph
    assert not any(node.op_type == "BatchNormalization" for node in graph.node)
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    first, *others = [node for node in graph.node if node.op_type == "Conv"]
    assert made_by[first.input[0]] != "DequantizeLinear"
    assert len(others) == 19
    for node in others:
        assert {made_by[name] for name in node.input} == {"DequantizeLinear"}
    faces = load_dataset(fer2013_csv, "PublicTest").images
    answers = run_elsewhere(ONNX, file, tmp_path, faces)
    expected = EmotionRecognizer.from_pretrained(tiny_folder).predict_proba(faces)
    assert np.abs(answers - expected).mean() < 0.05


def test_the_cost_of_int8_is_told_for_labels_in_another_order(
    run, tiny_folder, fer2013_csv, tmp_path
):
    folder = shutil.copytree(tiny_folder, tmp_path / "turned")
    edit_config(folder, lambda config: config.update(labels=config["labels"][::-1]))
    options = ("--precision", "int8", "--data", fer2013_csv, "--tolerance", "50")
    done = run("export", folder, "--out", tmp_path / "model.onnx", *options)
    assert done.status == 0, done.err
    before, after = re.search(r"float32 (0\.\d+), int8 (0\.\d+)", done.err).groups()
    # What was right for the labels in their order is wrong in the other.
    assert float(before) < 0.5
    assert float(after) == pytest.approx(float(before), abs=0.1)


def test_a_suffix_in_capitals_tells_the_format(tiny_folder):
    from emonet.assembly.exports import export_format

    assert export_format("M.TFLITE") == "litert"


def test_int8_that_costs_too_much_is_not_written(run, mini_backbone, fer2013_csv, tmp_path):
    first = EmotionRecognizer("mini")
    with_random_weights(first)
    first.save_pretrained(tmp_path / "mini")
    # A gain of 50 points is more than there can be: its one convolution sees the pixels.
    options = ("--precision", "int8", "--data", fer2013_csv, "--tolerance", "-50")
    done = run("export", tmp_path / "mini", "--out", tmp_path / "model.onnx", *options)
    assert done.status == 2
    assert "int8 costs 0.00 points of accuracy, more than --tolerance -50.0" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mini"]


@pytest.mark.parametrize("options", [(), ("--data", "fer2013.csv", "--format", "litert")])
def test_int8_needs_data_and_onnx(options, run, tiny_folder, tmp_path):
    file = tmp_path / "model"
    done = run("export", tiny_folder, "--out", file, "--precision", "int8", *options)
    assert done.status == 2
    assert "needs --data and --format onnx" in done.err


def test_training_faces_make_a_file_in_int8(tiny_folder, tmp_path):
    file, faces = tmp_path / "model.onnx", make_faces(4).images
    recognizer = EmotionRecognizer.from_pretrained(tiny_folder)
    # The ranges may be measured on faces of another size than the file takes.
    recognizer.export(file, int8_faces=faces[:, ::2, ::2])
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(file).graph.node)
    answers = run_elsewhere(ONNX, file, tmp_path, faces)
    assert np.abs(answers - recognizer.predict_proba(faces)).mean() < 0.05


def test_int8_has_no_form_in_litert(recognizer, tmp_path):
    with pytest.raises(ConfigError, match="int8_faces needs format 'onnx', got 'litert'"):
        recognizer.export(tmp_path / "model.tflite", int8_faces=FACES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("format", "program"), [("onnx", ONNX), ("litert", LITERT)])
def test_the_command_exports_the_bundled_model(format, program, run_process, tmp_path):
    done = run_process("export", "default", "--out", tmp_path / "model", "--format", format)
    assert done.status == 0, done.err
    assert done.err.count("anger, disgust") == 1
    answers = run_elsewhere(program, tmp_path / "model", tmp_path)
    expected = EmotionRecognizer.from_pretrained().predict_proba(FACES)
    np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_the_suffix_tells_the_format(run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "model.tflite"
    assert run("export", tiny_folder, "--out", out).status == 0
    assert out.read_bytes()[4:8] == b"TFL3"


@pytest.fixture
def int8_folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The small recognizer with int8 graphs."""
    recognizer = EmotionRecognizer.from_pretrained(tiny_folder).quantise(make_faces(4).images)
    recognizer.save_pretrained(tmp_path / "int8")
    return tmp_path / "int8"


def has_int8(file: Path) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in onnx.load(file).graph.node)


def test_an_int8_model_is_exported_in_int8_unless_float32_is_asked_for(
    run: Run, int8_folder: Path, tmp_path: Path
) -> None:
    assert run("export", int8_folder, "--out", tmp_path / "int8.onnx").status == 0
    options = ("--precision", "float32")
    assert run("export", int8_folder, "--out", tmp_path / "float.onnx", *options).status == 0
    assert has_int8(tmp_path / "int8.onnx")
    assert not has_int8(tmp_path / "float.onnx")
    recognizer = EmotionRecognizer.from_pretrained(int8_folder)
    answers = run_elsewhere(ONNX, tmp_path / "int8.onnx", tmp_path)
    # Exported and saved graphs are optimised apart, so some values are rounded to another integer.
    assert np.abs(answers - recognizer.predict_proba(FACES)).mean() < 0.02


def test_litert_leaves_int8_behind_and_says_so(int8_folder, tmp_path, caplog):
    EmotionRecognizer.from_pretrained(int8_folder).export(tmp_path / "model.tflite")
    assert "computes in int8; the exported file computes in float32" in caplog.text


def test_a_file_describes_itself(recognizer: EmotionRecognizer, tmp_path: Path) -> None:
    recognizer.export(tmp_path / "model.onnx", license="cc-by-4.0")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["labels"]) == list(recognizer.labels)
    assert "48x48 pixels" in metadata["preprocessing"]
    assert metadata["framing"] == "{}"
    assert metadata["temperature"] == "1.5"
    assert metadata["test_time_augmentation"] == "horizontal_flip"
    assert metadata["emonet_version"] == model.producer_version == emonet.__version__
    assert metadata["license"] == "cc-by-4.0"
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    with pytest.raises(ConfigError, match="license must be written as the Hub abbreviates it"):
        recognizer.export(tmp_path / "model.onnx", license="Not a licence")


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_bundled_models_are_exported_without_keras(name: str, tmp_path: Path) -> None:
    code = """
import sys
from emonet.cli import main
for name in ("keras", "tensorflow", "tf2onnx", "sklearn", "scipy"):
    sys.modules[name] = None
sys.argv = ["emonet", "export", sys.argv[1], "--out", sys.argv[2]]
main()
"""
    file = tmp_path / "model.onnx"
    done = subprocess.run(
        [sys.executable, "-c", code, name, str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    metadata = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert metadata["license"] == "mit"
    assert set(json.loads(metadata["framing"])) >= {"dlib_hog", "yunet"}
    answers = run_elsewhere(ONNX, file, tmp_path)
    expected = EmotionRecognizer.from_pretrained(name).predict_proba(FACES)
    np.testing.assert_allclose(answers, expected, atol=0.02 if name == "tiny" else 1e-5)


def test_a_network_that_onnx_cannot_hold_is_named(recognizer, tmp_path, monkeypatch):
    from emonet.network import graphs

    def fail(model):
        raise ExportError("no such operation")

    monkeypatch.setattr(graphs, "export_graph", fail)
    with pytest.raises(ExportError, match="Keras can't export mini, mini_2 to ONNX"):
        recognizer.export(tmp_path / "model.onnx")


def test_transformers_js_gets_a_repository(recognizer: EmotionRecognizer, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    for _ in range(2):  # an earlier export is replaced
        recognizer.export(folder, format="transformers-js", license="mit")
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "README.md", "config.json", "preprocessor_config.json", "onnx/model.onnx",
    }  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {str(i): label for i, label in enumerate(recognizer.labels)}
    assert config["label2id"] == {label: i for i, label in enumerate(recognizer.labels)}
    assert "\nlicense: mit\n" in (folder / "README.md").read_text()
    file = folder / "onnx" / "model.onnx"
    onnx.checker.check_model(onnx.load(file), full_check=True)
    pixels = np.repeat(FACES[:, np.newaxis], 3, axis=1).astype(np.float32) / 255
    (logits,) = onnxruntime.InferenceSession(file).run(["logits"], {"pixel_values": pixels})
    powers = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(powers.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(powers, recognizer.predict_proba(FACES), atol=0.002)


def test_transformers_js_replaces_no_model_folder(recognizer, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    with pytest.raises(ConfigError, match="and saving would replace it"):
        recognizer.export(folder, format="transformers-js")
    EmotionRecognizer.from_pretrained(folder)
