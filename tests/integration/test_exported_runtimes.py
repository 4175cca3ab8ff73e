"""Exported files answer alike in the runtimes of other projects, for one face and for many."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.integration.recognizers import with_random_weights

from emonet import EmotionRecognizer, sample_photo

FACES = np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)
#: Packages of npm for the slow tests.
NODE_PACKAGES = ("onnxruntime-web@1", "@huggingface/transformers@4")


def run_cv2(file, faces):
    network = cv2.dnn.readNetFromONNX(str(file))
    network.setInput(faces, "faces")
    return network.forward()


def run_openvino(file, faces):
    openvino = pytest.importorskip("openvino")
    # By default, OpenVINO computes in bfloat16 where the processor has it.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.compile_model(openvino.Core().read_model(file), "CPU", options)(faces)[0]


def run_onnxruntime(file, faces):
    import onnxruntime

    return onnxruntime.InferenceSession(file).run(["probabilities"], {"faces": faces})[0]


RUNTIMES = [run_cv2, run_openvino, run_onnxruntime]


@pytest.fixture(scope="module")
def bundled_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each bundled model, by its name."""
    folder, files = tmp_path_factory.mktemp("exported"), {}
    for name in ("default", "fast", "tiny"):
        files[name] = folder / f"{name}.onnx"
        EmotionRecognizer.from_pretrained(name).export(files[name])
    return files


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", ["default", "fast", "tiny"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bundled_models(runtime, name, count, bundled_files):
    faces = FACES[:count]
    answers = runtime(bundled_files[name], faces.astype(np.float32))
    expected = EmotionRecognizer.from_pretrained(name).predict_proba(faces)
    # tiny computes in int8, and runtimes round differently there.
    np.testing.assert_allclose(answers, expected, atol=0.02 if name == "tiny" else 1e-5)


@pytest.mark.parametrize("augmentation", ["horizontal_flip", "shift"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_views_sizes_and_weights(runtime, augmentation, mini_backbone, tmp_path):
    members = [
        with_random_weights(
            EmotionRecognizer("mini", face_size=size, backbone_config={"input_size": list(size)}),
            seed,
        )
        for seed, size in enumerate([(48, 48), (40, 40)])
    ]
    whole = EmotionRecognizer.ensemble(members)
    networks = [replace(n, weight=w) for n, w in zip(whole.config.networks, (3, 1), strict=True)]
    config = replace(whole.config, networks=tuple(networks), temperature=1.5)
    whole._become(replace(whole.model, config=config))
    whole = whole.with_test_time_augmentation(augmentation)
    whole.export(tmp_path / "model.onnx")
    answers = runtime(tmp_path / "model.onnx", FACES.astype(np.float32))
    # Inside the file, the grey values of smaller faces are not rounded.
    np.testing.assert_allclose(answers, whole.predict_proba(FACES), atol=0.002)


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm")
    folder = tmp_path_factory.mktemp("node")
    # The scripts of onnxruntime-node fetch CUDA libraries.
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *NODE_PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


def run_node(folder: Path, code: str, *arguments: str) -> str:
    (folder / "program.mjs").write_text(code)
    done = subprocess.run(
        ["node", "program.mjs", *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ONNXRUNTIME_WEB = """
import * as ort from "onnxruntime-web";
import { readFileSync } from "node:fs";
const session = await ort.InferenceSession.create(process.argv[2]);
const faces = Float32Array.from(readFileSync(process.argv[3]));
const shape = [faces.length / (48 * 48), 48, 48];
const answer = await session.run({ faces: new ort.Tensor("float32", faces, shape) });
console.log(JSON.stringify(Array.from(answer.probabilities.data)));
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", ["default", "fast", "tiny"])
def test_onnxruntime_web(name, count, bundled_files, node_folder):
    faces = FACES[:count]
    (node_folder / "faces.bin").write_bytes(faces.tobytes())
    printed = run_node(node_folder, ONNXRUNTIME_WEB, str(bundled_files[name]), "faces.bin")
    expected = EmotionRecognizer.from_pretrained(name).predict_proba(faces)
    answers = np.array(json.loads(printed)).reshape(expected.shape)
    np.testing.assert_allclose(answers, expected, atol=0.02 if name == "tiny" else 1e-5)


TRANSFORMERS_JS = """
import { pipeline, env } from "@huggingface/transformers";
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const classify = await pipeline("image-classification", "model", { dtype: "fp32" });
console.log(JSON.stringify(await classify(process.argv.slice(3), { top_k: 7 })));
"""


@pytest.mark.slow
def test_transformers_js(node_folder, tmp_path):
    from PIL import Image

    recognizer = EmotionRecognizer.from_pretrained()
    recognizer.export(tmp_path / "model", format="transformers-js")
    recognizer.export(tmp_path / "model.onnx")
    photo = Image.open(sample_photo()).convert("RGB")
    box = recognizer.predict(sample_photo()).faces[0].box
    face = photo.crop((box.x, box.y, box.x + box.width, box.y + box.height)).resize((48, 48))
    faces = {tmp_path / "face.png": face, tmp_path / "turned.png": face.rotate(90)}
    for file, image in faces.items():
        image.save(file)
    files = [str(file) for file in faces]
    printed = run_node(node_folder, TRANSFORMERS_JS, f"{tmp_path}/", *files)
    # Grey values are not rounded there.
    grey = [np.asarray(image) @ np.array([0.299, 0.587, 0.114]) for image in faces.values()]
    expected = run_onnxruntime(tmp_path / "model.onnx", np.array(grey, np.float32))
    np.testing.assert_allclose(expected, recognizer.predict_proba(files), atol=0.02)
    for answer, row in zip(json.loads(printed), expected, strict=True):
        scores = {entry["label"]: entry["score"] for entry in answer}
        assert answer[0]["label"] == recognizer.labels[row.argmax()]
        np.testing.assert_allclose([scores[one] for one in recognizer.labels], row, atol=1e-4)
