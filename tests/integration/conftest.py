"""What the integration tests share: the command line, and a backbone that trains in seconds."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from emonet.cli import main
from emonet.plugin import BackboneSpec, ComponentSpec
from emonet.registry import catalog as catalog_module
from emonet.registry.catalog import Catalog, Kind
from emonet.registry.discovery import LoadedPlugin, PluginInfo, load_plugins


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit status, standard output and error."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Run(Protocol):
    def __call__(self, *arguments: str | Path) -> Outcome: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, where TensorFlow is loaded already."""
    logger = logging.getLogger("emonet")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["emonet", *map(str, arguments)])
        handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
        try:
            with pytest.raises(SystemExit) as exited:
                main()
        finally:
            logger.handlers = handlers
            logger.setLevel(level)
            logger.propagate = propagate
        return Outcome(exited.value.code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def run_process() -> Run:
    """Run a command in a process of its own."""

    def call(*arguments: str | Path) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "emonet", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=600,
            env={**os.environ, "COLUMNS": "100"},
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


def edit_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def build_mini(config: Mapping[str, Any], *, pretrained: bool):
    """A backbone with all kinds of weights that compiles in a tenth of resnet18's time."""
    import keras
    from keras import layers

    pixels = keras.Input((*config["input_size"], 3))
    x = layers.Rescaling(1 / 64, offset=-2.0, dtype="float32")(pixels)
    x = layers.Conv2D(8, 5, strides=4)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU()(x)
    if config["dropout"]:
        x = layers.Dropout(config["dropout"])(x)
    return keras.Model(pixels, layers.Flatten()(x))


@contextmanager
def offering(kind: Kind, spec: ComponentSpec) -> Iterator[None]:
    """Offer one more component beside the built-in plugins."""
    info = PluginInfo(name=spec.name, distribution=spec.name, version="1", module=spec.name)
    plugins = [*load_plugins((), strict=True), LoadedPlugin(info, {kind: (spec,)})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog_module, "_catalog", Catalog(plugins))
        yield


@pytest.fixture(scope="module")
def mini_backbone() -> Iterator[None]:
    """Offer the backbone ``mini``."""
    spec = BackboneSpec(
        name="mini",
        build=build_mini,
        input_size=(48, 48),
        defaults={"dropout": 0.0, "input_size": [48, 48]},
    )
    with offering(Kind.BACKBONE, spec):
        yield
