"""A plain installation predicts, stays small, and says what else needs which extra."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.packaging.conftest import execute

pytestmark = pytest.mark.slow

MAX_MIB = 700
TRAINING_ONLY = ("h5py", "keras", "skimage", "sklearn", "tensorflow", "tf2onnx")


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and its dependencies, from the package index."""
    folder = tmp_path_factory.mktemp("light") / "venv"
    execute(sys.executable, "-m", "venv", "--without-pip", folder)
    execute(
        *(sys.executable, "-m", "uv", "pip", "install", "--python", folder / "bin" / "python"),
        # Files are copied, so that the folder's size is what an installation takes.
        *("--link-mode", "copy", wheel),
    )
    return folder


def emonet(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environment / "bin" / "emonet", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=environment,
    )


def test_it_is_small(environment: Path) -> None:
    size = sum(path.lstat().st_blocks * 512 for path in environment.rglob("*"))
    assert size < MAX_MIB * 2**20


def test_it_brings_nothing_that_only_training_needs(environment: Path) -> None:
    code = "import importlib.util as u, sys; print([n for n in sys.argv[1:] if u.find_spec(n)])"
    assert execute(environment / "bin" / "python", "-c", code, *TRAINING_ONLY) == "[]\n"


@pytest.mark.parametrize("model", ["default", "fast", "tiny"])
def test_it_predicts(environment: Path, model: str) -> None:
    done = emonet(environment, "predict", "--sample", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "happiness" in done.stdout


def test_it_draws_and_makes_tables(environment: Path) -> None:
    done = emonet(
        environment,
        *("predict", "--sample", "--model", "tiny", "--csv", "a.csv", "--save-annotated", "marked"),
    )
    assert (done.returncode, done.stdout) == (0, "1 face in 1 image\n"), done.stderr
    assert len((environment / "a.csv").read_text().splitlines()) == 2
    assert (environment / "marked" / "sample.png").stat().st_size > 10_000
    done = emonet(environment, "predict", "--sample", "--parquet", "a.parquet")
    assert done.returncode == 2
    assert "pip install 'emonet[tables]'" in done.stderr


def test_it_exports_onnx(environment: Path) -> None:
    done = emonet(environment, "export", "default", "--out", "model.onnx")
    assert done.returncode == 0, done.stderr
    assert (environment / "model.onnx").stat().st_size > 20e6


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--data", "missing.csv", "--out", "model"),
        ("distill", "default", "--data", "missing.csv", "--out", "model"),
        ("evaluate", "--data", "missing.csv", "--split", "PublicTest"),
        ("compare", "fast", "tiny", "--data", "missing.csv", "--split", "PublicTest"),
        ("calibrate", "model", "--data", "missing.csv"),
        ("ensemble", "fast", "tiny", "--data", "missing.csv", "--out", "model"),
        ("quantise", "fast", "--data", "missing.csv", "--out", "model"),
        ("export", "fast", "--out", "model.tflite"),
        ("predict", "--sample", "--runtime", "keras"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_that_needs_an_extra_says_so_at_once(
    environment: Path, command: tuple[str, ...]
) -> None:
    done = emonet(environment, *command)
    assert done.returncode == 2
    assert "pip install 'emonet[train]'" in done.stderr
    assert "missing.csv" not in done.stderr


def test_methods_that_need_an_extra_say_so_at_once(environment: Path) -> None:
    code = """
import numpy as np
from emonet import EmotionRecognizer
from emonet.errors import MissingDependencyError

recognizer = EmotionRecognizer.from_pretrained("tiny")
faces = np.zeros((7, 48, 48), np.uint8), np.arange(7)
for call in (
    lambda: EmotionRecognizer("resnet18").fit(faces),
    lambda: recognizer.evaluate(faces),
    lambda: recognizer.calibrate(faces),
    lambda: recognizer.fit_weights(faces),
    lambda: recognizer.quantise(faces[0]),
    lambda: recognizer.export("model.tflite"),
    lambda: EmotionRecognizer.from_pretrained("tiny", runtime="keras"),
):
    try:
        call()
    except MissingDependencyError as error:
        assert "pip install 'emonet[train]'" in str(error), error
    else:
        raise AssertionError("no error")
recognizer.save_pretrained("saved")
print(EmotionRecognizer.from_pretrained("saved").predict_proba(faces[0]).shape)
"""
    printed = execute(environment / "bin" / "python", "-c", code, cwd=environment)
    assert printed == "(7, 7)\n"
