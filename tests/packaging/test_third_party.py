"""Somebody else's package, from its wheel to a saved model, in an environment of its own."""

import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.packaging.conftest import ROOT, execute

pytestmark = pytest.mark.slow

MOBILENET = ROOT / "docs" / "plugins" / "emonet-mobilenet"

TRAIN = """
import keras
import numpy as np
from emonet import EmotionRecognizer, Phase, Recipe

published = keras.applications.MobileNet(
    input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None, pooling="avg"
)
published.save_weights("faces.weights.h5")
faces = np.random.default_rng(0).integers(0, 256, (14, 48, 48), np.uint8)
recognizer = EmotionRecognizer(
    "mobilenet",
    backbone_config={"alpha": 0.25, "input_size": [32, 32], "weights": "faces.weights.h5"},
    detector="whole_image",
    pretrained=True,
)
recipe = Recipe(
    name="quick", phases=(Phase(epochs=1, optimizer="adam", learning_rate=1e-3),), batch_size=7
)
labelled = faces, np.arange(14) % 7
recognizer.fit(labelled, labelled, recipe=recipe)
recognizer.save_pretrained("model")
np.save("faces.npy", faces)
np.save("probabilities.npy", recognizer.predict_proba(faces))
"""

LOAD = """
import numpy as np
from emonet import EmotionRecognizer

recognizer = EmotionRecognizer.from_pretrained("model")
probabilities = recognizer.predict_proba(np.load("faces.npy"))
# Another process may add up in another order.
np.testing.assert_allclose(probabilities, np.load("probabilities.npy"), atol=1e-5)
part = recognizer.config.networks[0].backbone
print(part.name, part.distribution, part.distribution_version, part.config["weights"])
"""

MISSING = """
import emonet
from emonet.errors import ComponentNotFoundError

assert "mobilenet" not in emonet.list_backbones()
try:
    emonet.EmotionRecognizer.from_pretrained("model")
except ComponentNotFoundError as error:
    print(error)
"""

Uv = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("third_party")


@pytest.fixture(scope="module")
def python(folder: Path) -> Path:
    """A fresh environment that sees this one's libraries, but nothing of the checkout."""
    execute(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    found = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(execute(found, "-c", code).strip())
    # Paths in a .pth file come last, and .pth files in those folders are not read.
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (packages / "libraries.pth").write_text("\n".join(paths) + "\n")
    return found


@pytest.fixture(scope="module")
def uv(python: Path) -> Uv:
    def run(action: str, *arguments: object) -> str:
        return execute(sys.executable, "-m", "uv", "pip", action, "--python", python, *arguments)

    return run


def run(python: Path, folder: Path, *arguments: object) -> str:
    """Run a command of the environment; the checkout is not where it starts."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return execute(python, *arguments, cwd=folder, env=environment)


def test_a_third_partys_backbone_from_wheel_to_missing_plugin(
    wheel: Path,
    folder: Path,
    python: Path,
    uv: Uv,
) -> None:
    execute(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", MOBILENET)
    (theirs,) = (folder / "dist").iterdir()
    uv("install", "--no-deps", wheel, theirs)
    where = "import emonet, emonet_mobilenet; print(emonet.__file__, emonet_mobilenet.__file__)"
    for file in run(python, folder, "-c", where).split():
        assert Path(file).is_relative_to(folder / "venv")
    assert "mobilenet" in run(python, folder, "-m", "emonet", "plugins", "--json")

    run(python, folder, "-c", TRAIN)
    config = (folder / "model" / "config.json").read_text()
    assert "emonet-mobilenet" in config
    assert "faces.weights.h5" not in config
    assert run(python, folder, "-c", LOAD) == "mobilenet emonet-mobilenet 1.0.0 None\n"

    uv("uninstall", "emonet-mobilenet")
    message = run(python, folder, "-c", MISSING)
    assert "No backbone 'mobilenet' is installed" in message
    assert "package 'emonet-mobilenet'" in message


@pytest.mark.parametrize("kind", ["backbone", "feature_extractor", "detector"])
def test_a_new_plugin_installs_and_passes_its_tests(
    wheel: Path,
    folder: Path,
    python: Path,
    uv: Uv,
    kind: str,
) -> None:
    uv("install", "--no-deps", wheel)
    run(python, folder, "-m", "emonet", "plugins", "new", f"acme_{kind}", "--kind", kind)
    project = folder / f"emonet-acme-{kind.replace('_', '-')}"
    uv("install", "--no-deps", project)
    printed = run(python, project, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in printed
    assert "failed" not in printed
    uv("uninstall", project.name)
