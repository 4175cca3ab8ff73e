"""``emonet info``: what it tells, also where TensorFlow is broken, and what it keeps to itself."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from emonet import list_plugins
from emonet.storage.sources import bundled_models


def info(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "emonet", "info", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_json_tells_what_is_installed(tmp_path: Path) -> None:
    done = info("--json", HF_HOME=str(tmp_path), HF_TOKEN="hf_secret", KERAS_BACKEND="tensorflow")
    facts = json.loads(done.stdout)
    assert done.stderr == ""
    for name in ("emonet", "keras", "tensorflow", "numpy"):
        assert facts["versions"][name] == version(name)
    assert facts["keras"]["backend"] == "tensorflow"
    assert "CPU" in {device["kind"] for device in facts["keras"]["devices"]}
    assert facts["cores"] >= 1
    assert facts["plugins"] == [plugin.to_dict() for plugin in list_plugins()]
    assert facts["bundled_models"] == bundled_models()
    assert facts["hub_cache"] == str(tmp_path / "hub")
    assert facts["environment"]["HF_HOME"] == str(tmp_path)
    assert facts["environment"]["HF_TOKEN"] == "(set)"
    assert "hf_secret" not in done.stdout


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("raise ImportError('libcuda is gone')", "ImportError: libcuda is gone"),
        ("import os; os.abort()", "process ended with status -6"),
    ],
)
def test_text_says_that_tensorflow_is_broken(tmp_path: Path, module: str, expected: str) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(module)
    done = info(
        PYTHONPATH=str(tmp_path),
        KERAS_BACKEND="tensorflow",
        HF_ENDPOINT="https://me:secret@hub.example",
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Keras does not work")]
    assert expected in line
    assert f"emonet {version('emonet')}" in done.stdout
    assert f"Python {sys.version.split()[0]}" in done.stdout
    assert "plugin resnet18 (emonet" in done.stdout
    assert "HF_ENDPOINT=https://(set)@hub.example" in done.stdout


def test_a_broken_plugin_is_told_in_strict_mode_too(tmp_path: Path) -> None:
    (tmp_path / "acme_emonet.py").write_text("raise ImportError('libacme is gone')")
    metadata = tmp_path / "acme_emonet-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-emonet\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[emonet]\nacme = acme_emonet\n")
    for strict, expected in (
        ("0", "plugin acme (acme-emonet 1.0): "),
        ("1", "plugins do not work: "),
    ):
        done = info(PYTHONPATH=str(tmp_path), EMONET_STRICT_PLUGINS=strict)
        (line,) = (line for line in done.stdout.splitlines() if "libacme is gone" in line)
        assert line.startswith(expected)
