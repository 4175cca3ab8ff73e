"""What a stranger's configuration may ask for, and what saving into such a folder removes."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.conftest import Run, edit_config

from emonet import EmotionRecognizer
from emonet.config import (
    MAX_LABELS,
    MAX_LAYERS,
    MAX_NETWORKS,
    MAX_UNITS,
    ComponentConfig,
    ModelConfig,
    NetworkConfig,
)
from emonet.errors import WeightsError
from emonet.model import Model
from emonet.pipeline.images import MAX_PIXELS
from emonet.storage.config_json import MAX_CONFIG_BYTES
from emonet.storage.folder import MAX_HEADER_BYTES, MAX_HUB_BYTES, write_model
from emonet.storage.record_json import MAX_RECORD_BYTES
from emonet.storage.sources import BUNDLED

(WEIGHTS,) = (file.name for file in (BUNDLED / "fast").glob("*.safetensors"))
GIGABYTE = 10**9

#: Settings beyond any network's, by backbone.
HUGE = [
    ("resnet18", {"width": 10**9}),
    ("resnet18", {"width": 129}),
    ("resnet18", {"input_size": [10**6, 10**6]}),
    ("resnet18", {"input_size": [257, 48]}),
    ("resnet50", {"input_size": [48, 513]}),
    ("resnet50", {"input_size": [10**9, 10**9], "variant": "vggface2"}),
    ("inception_resnet_v2", {"input_size": [513, 139]}),
    ("inception_resnet_v2", {"input_size": [10**9, 10**9]}),
    ("densenet", {"growth_rate": 49}),
    ("densenet", {"layers_per_block": 25}),
    ("densenet", {"input_size": [48, 257]}),
    ("inception", {"width": 17}),
    ("inception", {"input_size": [257, 48]}),
    ("vgg", {"width": 129}),
    ("vgg", {"input_size": [257, 44]}),
]

BUILD = """
import json, sys
import emonet
from emonet.errors import ConfigError
for name, config in json.loads(sys.argv[1]):
    try:
        emonet.create_backbone(name, **config)
    except ConfigError as error:
        print(error)
assert "keras" not in sys.modules
"""


def child(script: str, *arguments: str) -> str:
    """Run a script in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_huge_backbone_is_refused_before_keras_is_imported() -> None:
    messages = child(BUILD, json.dumps(HUGE)).splitlines()
    for (name, config), message in zip(HUGE, messages, strict=True):
        assert message.startswith(f"{name}: {next(iter(config))} must be"), message


def network(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_config(folder, lambda config: config["networks"][0].update(changes))


def backbone(**settings: Any) -> Callable[[Path], None]:
    return lambda folder: edit_config(
        folder, lambda config: config["networks"][0]["backbone"]["config"].update(settings)
    )


def many_networks(folder: Path) -> None:
    """64 networks, each as wide as it may be."""
    backbone(width=128)(folder)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()

    def change(config: dict[str, Any]) -> None:
        (one,) = config["networks"]
        config["networks"] = [{**one, "name": f"n{i}"} for i in range(64)]
        config["files"] = {f"n{i}.safetensors": digest for i in range(64)}

    edit_config(folder, change)
    for i in range(64):
        (folder / f"n{i}.safetensors").hardlink_to(folder / WEIGHTS)


#: As large as a configuration may be, with the bundled model's weights; how it ends.
LARGEST: dict[str, tuple[Callable[[Path], None], str]] = {
    "width": (backbone(width=128), "WeightsError"),
    "head": (network(head={"units": [4096] * 4}), "WeightsError"),
    "extractor": (
        network(
            features=[{"name": "bovw", "config": {"landmarks": False}}],
            head={"units": [4096] * 4, "feature_units": 4096},
        ),
        "WeightsError",
    ),
    "labels": (
        lambda folder: edit_config(folder, lambda c: c.update(labels=[*map(str, range(1000))])),
        "WeightsError",
    ),
    "networks": (many_networks, "WeightsError"),
    "resnet50": (
        network(backbone={"name": "resnet50", "config": {"input_size": [512, 512]}}),
        "WeightsError",
    ),
    # Weights don't depend on these sizes, so the model is a legal one, only slow.
    "input": (backbone(input_size=[256, 256], stem_stride=1), "predicted"),
    "faces": (network(face_size=[1024, 1024]), "predicted"),
}

PREDICT = """
import gc, json, sys, time
from pathlib import Path
import numpy as np
from emonet import EmotionRecognizer
from emonet.errors import EmonetError

def memory(key):
    line = Path("/proc/self/status").read_text().partition(key)[2]
    return int(line.split()[0]) * 1024

def predict(folder):
    try:
        recognizer = EmotionRecognizer.from_pretrained(folder, runtime="keras")
        recognizer.predict_proba(np.zeros((1, 48, 48), np.uint8))
    except EmonetError as error:
        return type(error).__name__
    return "predicted"

predict(None)
outcomes = {}
for folder in sys.argv[1:]:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew
    start, before = time.perf_counter(), memory("VmRSS:")
    outcome = predict(folder)
    outcomes[folder] = (outcome, time.perf_counter() - start, memory("VmHWM:") - before)
print(json.dumps(outcomes))
"""


@pytest.mark.slow
def test_the_largest_networks_that_are_legal_take_little_time_and_memory(tmp_path: Path) -> None:
    folders = {}
    for name, (change, _) in LARGEST.items():
        folders[name] = shutil.copytree(BUNDLED / "fast", tmp_path / name)
        change(folders[name])
    outcomes = json.loads(child(PREDICT, *map(str, folders.values())).splitlines()[-1])
    for name, (_, expected) in LARGEST.items():
        outcome, seconds, memory = outcomes[str(folders[name])]
        print(f"{name}: {outcome}, {seconds:.1f} s, {memory / 1e6:.0f} MB")
        assert outcome == expected, name
        assert seconds < 10, name
        assert memory < GIGABYTE, name


def write_networks(folder: Path, *names: str, value: float = 1.0) -> None:
    part = ComponentConfig(name="resnet18")
    config = ModelConfig(
        detector=ComponentConfig(name="dlib_hog"),
        networks=tuple(NetworkConfig(name=name, backbone=part) for name in names),
    )
    weights = {name: {"bias": np.full(7, value, np.float32)} for name in names}
    write_model(folder, Model(config=config, weights=weights))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_overwriting_removes_the_weights_of_networks_that_are_gone(tmp_path: Path) -> None:
    write_networks(tmp_path, "old", "kept")
    (tmp_path / "other.safetensors").write_bytes(b"of no config")
    write_networks(tmp_path, "kept", "new")
    weights = {"kept.safetensors", "new.safetensors", "other.safetensors"}
    assert names(tmp_path) == {"README.md", "config.json", *weights}
    assert set(EmotionRecognizer.from_pretrained(tmp_path).weights) == {"kept", "new"}


def test_overwriting_that_fails_removes_nothing(tmp_path: Path) -> None:
    write_networks(tmp_path, "old")
    with pytest.raises(WeightsError):
        write_networks(tmp_path, "new", value=np.nan)
    assert names(tmp_path) == {"README.md", "config.json", "old.safetensors"}
    assert set(EmotionRecognizer.from_pretrained(tmp_path).weights) == {"old"}


@pytest.mark.parametrize(
    "files",
    [{"../precious.safetensors": "0" * 64}, {"precious": "0" * 64}, None, 3],
    ids=["outside", "of another kind", "none", "a number"],
)
def test_overwriting_a_strangers_folder_removes_nothing_else(tmp_path: Path, files: Any) -> None:
    folder = tmp_path / "model"
    write_networks(folder, "old")
    for path in (tmp_path / "precious.safetensors", folder / "precious"):
        path.write_text("mine")
    edit_config(folder, lambda config: config.update(files=files))
    write_networks(folder, "new")
    # Whose the old weights were can't be told, so they stay.
    ours = {"README.md", "config.json", "new.safetensors"}
    assert names(folder) == ours | {"old.safetensors", "precious"}
    assert names(tmp_path) == {"model", "precious.safetensors"}


def test_weights_that_are_a_link_are_replaced_not_followed(tmp_path: Path) -> None:
    folder, victim = tmp_path / "model", tmp_path / "victim"
    victim.write_text("mine")
    write_networks(folder, "old", "kept")
    for name in ("old", "kept"):
        (folder / f"{name}.safetensors").unlink()
        (folder / f"{name}.safetensors").symlink_to(victim)
    write_networks(folder, "kept")
    assert victim.read_text() == "mine"
    assert names(folder) == {"README.md", "config.json", "kept.safetensors"}
    assert not (folder / "kept.safetensors").is_symlink()


ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\r"


def escaping_tensor(folder: Path) -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}
    header = json.dumps({ESCAPES: entry}).encode()
    data = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / WEIGHTS).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit_config(folder, lambda config: config.update(files={WEIGHTS: digest}))


@pytest.mark.parametrize(
    "change",
    [
        escaping_tensor,
        backbone(**{ESCAPES: 1}),
        network(**{ESCAPES: 1}),
        network(name=ESCAPES),
        network(features=[{"name": "bovw"}] * 2),
    ],
    ids=["tensor", "setting", "key", "name", "repeated"],
)
def test_the_command_line_prints_nothing_that_a_terminal_obeys(
    run: Run, tmp_path: Path, astronaut: Path, change: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(BUNDLED / "fast", tmp_path / "model")
    change(folder)
    outcome = run("predict", "--model", folder, astronaut)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("emonet: ")
    assert outcome.err.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight", 1e308),
        ("weight", 1e-300),
        ("head", {"units": [8] * 5}),
        ("head", {"units": [4097]}),
        ("head", {"feature_units": 10**9}),
        ("features", [{"name": "bovw"}, {"name": "bovw"}]),
    ],
)
def test_a_network_out_of_all_proportion_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    folder = shutil.copytree(BUNDLED / "fast", tmp_path / "model")
    network(**{key: value})(folder)
    with pytest.raises(ValueError, match=r"config\.json: .*(weights|head|features)"):
        EmotionRecognizer.from_pretrained(folder)


def test_the_documentation_names_the_limits() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "trust.md").read_text()
    for row in (
        f"| `config.json` | {MAX_CONFIG_BYTES // 2**10} KiB |",
        f"| `training.json` | {MAX_RECORD_BYTES // 2**20} MiB",
        f"| weights of all networks | from the Hub {MAX_HUB_BYTES // 2**20} MiB",
        f"| header of a weights file | {MAX_HEADER_BYTES // 2**20} MiB |",
        f"| networks | {MAX_NETWORKS}",
        f"| labels | {MAX_LABELS},",
        f"| dense layers of a head | {MAX_LAYERS}, of {MAX_UNITS} units",
        f"| image | {MAX_PIXELS // 10**6} megapixels",
    ):
        assert row in page, row


def test_numbers_that_would_make_no_probabilities_are_refused() -> None:
    config = EmotionRecognizer.from_pretrained().config
    for change in (
        {"temperature": 1e-9},
        {"temperature": 1e9},
        {"labels": (*map(str, range(1001)),)},
    ):
        with pytest.raises(ValueError, match=next(iter(change))):
            replace(config, **change)
