"""Importing emonet and asking its command line for help load nothing heavy."""

import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import emonet

HEAVY = {"tensorflow", "keras", "cv2", "dlib", "scipy", "skimage", "sklearn", "matplotlib"}
LATER = {"PIL", "huggingface_hub", "onnxruntime", "pydantic", "rich", "safetensors", "typer"}

#: Runs the code that follows and prints at exit which packages were loaded.
REPORTING = """
import atexit, json, sys
def report():
    loaded = sorted({name.split(".")[0] for name in sys.modules})
    print(json.dumps(loaded), file=sys.stderr)
atexit.register(report)
"""


def run(code: str, *argv: str) -> tuple[str, set[str]]:
    """Run code in a cold interpreter; returns what it printed and what it loaded."""
    finished = subprocess.run(
        [sys.executable, "-c", REPORTING + code, *argv],
        # As wide as a terminal that breaks no option's name.
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, set(json.loads(finished.stderr.splitlines()[-1]))


def test_the_report_sees_what_is_loaded() -> None:
    assert "PIL" in run("import PIL.Image")[1]


def test_importing_emonet_loads_nothing_heavy_and_no_plugin() -> None:
    _, loaded = run("import emonet")
    assert "emonet" in loaded
    assert not loaded & (HEAVY | LATER)
    assert not {name for name in loaded if name.startswith("emonet_")}


def test_discovering_plugins_loads_nothing_heavy() -> None:
    printed, loaded = run("import emonet; print(emonet.list_backbones())")
    assert "resnet50" in printed
    assert {"emonet_resnet50", "emonet_bovw", "emonet_detectors"} <= loaded
    assert not loaded & (HEAVY | LATER)


def test_describing_a_recognizer_loads_nothing_heavy() -> None:
    code = "import emonet; print(emonet.EmotionRecognizer('resnet50').config.networks[0].name)"
    printed, loaded = run(code)
    assert printed == "resnet50\n"
    assert not loaded & (HEAVY | LATER)


def test_predicting_loads_neither_dlib_nor_a_training_library() -> None:
    code = (
        "import emonet\n"
        "result = emonet.EmotionRecognizer.from_pretrained().predict(emonet.sample_photo())\n"
        "print([face.label for face in result.faces])"
    )
    printed, loaded = run(code)
    assert printed == "['happiness']\n"
    assert {"cv2", "onnxruntime"} <= loaded
    assert not loaded & {"dlib", "tensorflow", "keras", "scipy", "skimage", "sklearn", "matplotlib"}


CLI = "from emonet.cli import main; sys.argv = ['emonet', *sys.argv[1:]]; main()"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["predict", "train", "evaluate", "plugins"]),
        (["predict", "--help"], ["--detector", "--json"]),
        (["train", "--help"], ["--backbone", "--recipe"]),
        (["plugins", "--json"], ["resnet18", "dlib_hog"]),
    ],
    ids=" ".join,
)
def test_the_command_lines_help_loads_nothing_heavy(
    arguments: list[str], expected: list[str]
) -> None:
    printed, loaded = run(CLI, *arguments)
    assert all(word in printed for word in expected)
    # typer is the command line, and brings the other two.
    assert not loaded & (HEAVY | LATER - {"typer", "rich", "pydantic"})


def test_python_m_emonet_is_the_command_line() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "emonet", "--help"],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    assert "predict" in finished.stdout


#: Training imports them where JAX is Keras' backend.
NEED_JAX = {"emonet.data.jax_augmentation", "emonet.training.device_steps"}


def test_every_submodule_can_be_the_first_that_is_imported() -> None:
    names = [info.name for info in pkgutil.walk_packages(emonet.__path__, "emonet.")]
    names.remove("emonet.__main__")
    if importlib.util.find_spec("jax") is None:
        names = [name for name in names if name not in NEED_JAX]
    assert len(names) > 30
    # One interpreter, in which emonet itself is cold each time: TensorFlow is loaded once.
    code = """
import importlib
for name in sys.argv[1:]:
    for loaded in [key for key in sys.modules if key.split(".")[0] == "emonet"]:
        del sys.modules[loaded]
    module = importlib.import_module(name)
    missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
    print(name, missing)
"""
    printed, _ = run(code, *names)
    assert printed.splitlines() == [f"{name} []" for name in names]


def constants_then_classes_then_functions(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def test_public_names_are_sorted_and_there() -> None:
    assert emonet.__all__ == sorted(emonet.__all__, key=constants_then_classes_then_functions)
    assert len(set(emonet.__all__)) == len(emonet.__all__)
    for name in emonet.__all__:
        assert getattr(emonet, name) is not None


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(emonet.__file__).parent / "py.typed").is_file()
