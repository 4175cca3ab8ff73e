"""Training on several devices: four virtual ones in a new process, and what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Run

from emonet import EmotionRecognizer
from emonet.errors import ConfigError

ROOT = Path(__file__).parents[2]

#: Trains on one device and on four, and moves a checkpoint between them, both ways.
SCRIPT = """
import json, shutil, sys
from dataclasses import replace
from pathlib import Path

import keras
from tests.conftest import make_faces
from tests.integration.conftest import build_mini, offering

from emonet import RECIPES, EmotionRecognizer
from emonet.data.augmentation import Augmentation
from emonet.errors import ConfigError
from emonet.plugin import BackboneSpec
from emonet.registry.catalog import Kind

train, valid = make_faces(7), make_faces(2, seed=1)
recipe = replace(
    RECIPES["scratch"].with_settings({"learning_rate": 1e-3}).with_epochs(2),
    batch_size=16,
    augmentation=Augmentation(rotation=10, exposure=0.5),
    ema_decay=0.5,
)
spec = BackboneSpec(
    name="mini",
    build=build_mini,
    input_size=(48, 48),
    defaults={"dropout": 0.1, "input_size": [48, 48]},
)


class Losses(keras.callbacks.Callback):
    def __init__(self, folder):
        super().__init__()
        self.losses, self.folder = [], folder

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            shutil.copytree(self.folder, f"{self.folder}-1")


def fit(devices, folder):
    watch = Losses(folder)
    recognizer = EmotionRecognizer("mini", detector="whole_image").fit(
        train, valid, recipe=recipe, devices=devices, checkpoint_dir=folder, callbacks=[watch]
    )
    return watch.losses, {name: a.tolist() for name, a in recognizer.weights["mini"].items()}


out = Path(sys.argv[1])
found = {"devices": keras.distribution.list_devices()}
with offering(Kind.BACKBONE, spec):
    found["one"] = fit(None, out / "one")
    found["four"] = fit("all", out / "four")
    found["grown"] = fit(4, out / "one-1")
    found["shrunk"] = fit(1, out / "four-1")
    found["errors"] = []
    for devices in (5, 3):
        try:
            EmotionRecognizer("mini").fit(train, valid, recipe=recipe, devices=devices)
        except ConfigError as error:
            found["errors"].append(str(error))
assert keras.distribution.distribution() is None
json.dump(found, (out / "found.json").open("w"))
"""


@pytest.mark.jax
def test_four_devices_train_as_one_does(tmp_path: Path) -> None:
    flags = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["devices"]) == 4
    losses, weights = found["one"]
    assert len(losses) == 2 * (49 // 16)
    assert len(set(losses)) == len(losses)
    np.testing.assert_allclose(found["four"][0], losses, atol=1e-4)
    # A continued run has the losses of its second epoch only.
    for name, steps in (("four", losses), ("grown", losses[3:]), ("shrunk", losses[3:])):
        np.testing.assert_allclose(found[name][0], steps, atol=1e-4, err_msg=name)
        for key, array in weights.items():
            np.testing.assert_allclose(found[name][1][key], array, atol=1e-3, err_msg=key)
    fewer, unequal = found["errors"]
    assert fewer.startswith("devices is 5, and JAX finds 4: cpu:0")
    assert "A batch of 16 faces can't be divided into 3 equal parts" in unequal


def test_tensorflow_trains_on_one_device() -> None:
    faces = make_faces(2)
    with pytest.raises(ConfigError, match="needs Keras on JAX, and Keras runs on tensorflow"):
        EmotionRecognizer("resnet18").fit(faces, faces, devices=2)


@pytest.mark.parametrize("text", ["0", "some", "-1", "²"])
def test_what_is_no_number_of_devices(run: Run, fer2013_csv: Path, tmp_path: Path, text) -> None:
    refused = run(*("train", "--data", fer2013_csv, "--out", tmp_path / "a", "--devices", text))
    assert refused.status == 2
    assert "--devices takes all or a whole number" in refused.err
