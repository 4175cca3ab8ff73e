"""Other people's plugins: broken ones are named and do no harm, good ones keep working."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.plugins.conftest import Site, discover, plugin_of
from tests.plugins.sources import backbone, detector, extractor

import emonet
from emonet import EmotionRecognizer, Phase, Recipe
from emonet.assembly.networks import build_network
from emonet.errors import (
    PluginContractError,
    PluginError,
    PluginRuntimeError,
    PluginVersionError,
)
from emonet.model import Model
from emonet.storage.folder import read_config, write_model

ROOT = Path(__file__).parents[2]
MOBILENET = ROOT / "docs" / "plugins" / "emonet-mobilenet"
#: What every error says about the plugin behind it.
OWNER = r"'acme' \(plugin 'acme' of acme-emonet 1\.2\.3\)"
IMAGE = np.zeros((60, 80, 3), np.uint8)
FACES = make_faces(1).images[:3]


def assert_others_work() -> None:
    assert emonet.create_detector("whole_image").detect(IMAGE)
    hog = emonet.create_feature_extractor("bovw", landmarks=False)
    assert hog.transform(FACES).shape == (3, 2592)
    assert emonet.create_backbone("resnet18", width=1).output_shape == (None, 8)


@pytest.mark.parametrize(
    ("source", "error", "cause"),
    [
        (backbone("raise RuntimeError('no luck')"), PluginRuntimeError, "RuntimeError: no luck"),
        (backbone("raise SystemExit(3)"), PluginRuntimeError, "SystemExit: 3"),
        (backbone("return None"), PluginContractError, "returned NoneType"),
        (backbone("x = layers.Reshape((8, 24))(x)"), PluginContractError, r"\(None, 8, 24\)"),
        (extractor("").replace("return Acme()", "1 / 0"),
         PluginRuntimeError, "ZeroDivisionError"),
        (extractor("").replace("return Acme()", "return None"), PluginContractError, "NoneType"),
        (extractor("", members="num_features = 0"), PluginContractError, "num_features"),
        (extractor("", members="num_features = '2'"), PluginContractError, "num_features"),
        (extractor("", members="set_state = None"), PluginContractError, "lacks set_state"),
        (detector("").replace("return Acme()", "raise OSError('no model')"),
         PluginRuntimeError, "OSError: no model"),
        (detector("").replace("return Acme()", "return object"), PluginContractError, "detect"),
    ],
)  # fmt: skip
def test_a_build_that_fails_is_named_and_harms_no_other(
    site: Site, source: str, error: type[PluginError], cause: str
) -> None:
    site.install("acme-emonet", source)
    assert discover() == []
    create = {
        "backbone": emonet.create_backbone,
        "feature_extractor": emonet.create_feature_extractor,
        "detector": emonet.create_detector,
    }
    ((kind, _),) = [part for part in plugin_of("acme-emonet").components.items() if part[1]]
    with pytest.raises(error, match=f"{OWNER}.*{cause}"):
        create[kind]("acme")
    assert_others_work()


@pytest.mark.parametrize(
    ("transform", "error", "cause"),
    [
        ("return vectors * np.nan", PluginContractError, r"shape \(3, 2\).*not finite"),
        ("return vectors + np.inf", PluginContractError, "not finite"),
        ("return vectors[:, :1]", PluginContractError, r"\(3, 2\); it returned shape \(3, 1\)"),
        ("return vectors[1:]", PluginContractError, r"\(3, 2\); it returned shape \(2, 2\)"),
        ("return vectors.ravel()", PluginContractError, r"it returned shape \(6,\)"),
        ("return None", PluginContractError, "it returned"),
        ("return [['a', 'b']] * 3", PluginContractError, "it returned list"),
        ("return [[1], [1, 2], [3]]", PluginContractError, "it returned list"),
        ("raise KeyError('gone')", PluginRuntimeError, "transform: KeyError: 'gone'"),
        ("exit(4)", PluginRuntimeError, "SystemExit: 4"),
    ],
)
def test_an_extractor_that_returns_something_else_is_named(
    site: Site, transform: str, error: type[PluginError], cause: str
) -> None:
    site.install("acme-emonet", extractor(transform))
    acme = emonet.create_feature_extractor("acme")
    with pytest.raises(error, match=f"{OWNER}.*{cause}"):
        acme.transform(FACES)
    assert_others_work()
    recognizer = EmotionRecognizer("resnet18", ["acme"], backbone_config={"width": 1})
    with pytest.raises(error, match=OWNER):
        recognizer.fit(make_faces(1), make_faces(1))


def test_an_extractors_state_goes_into_training_that_starts_from_it(site: Site) -> None:
    members = (
        "seen = 3.0\n"
        "    def get_state(self):\n        return {'seen': np.array([self.seen])}\n"
        "    def set_state(self, state):\n        self.seen = float(state['seen'][0])"
    )
    site.install("acme-emonet", extractor("return vectors", members=members))
    recipe = Recipe(name="short", phases=(Phase(epochs=1, learning_rate=1e-9),), batch_size=14)
    data = make_faces(2), make_faces(1)
    options = {"backbone_config": {"width": 1}, "detector": "whole_image"}
    first = EmotionRecognizer("resnet18", ["acme"], **options).fit(*data, recipe=recipe)
    (weights,) = first.weights.values()
    assert weights["features/acme/seen"] == 3
    changed = {**weights, "features/acme/seen": np.array([5.0])}
    first._become(replace(first.model, weights=dict.fromkeys(first.weights, changed)))
    again = EmotionRecognizer("resnet18", ["acme"], **options)
    (weights,) = again.fit(*data, recipe=recipe, start_from=first).weights.values()
    assert weights["features/acme/seen"] == 5


@pytest.mark.parametrize("method", ["get_state", "set_state"])
def test_an_extractor_whose_state_fails_is_named(site: Site, method: str) -> None:
    failing = f"def {method}(self, *state):\n        raise ValueError('lost')"
    site.install("acme-emonet", extractor("return vectors", members=failing))
    acme = emonet.create_feature_extractor("acme")
    with pytest.raises(PluginRuntimeError, match=f"{OWNER}.*{method}: ValueError: lost"):
        getattr(acme, method)(*[{}] * (method == "set_state"))
    # Before anything is learnt that could not be saved.
    recognizer = EmotionRecognizer("resnet18", ["acme"], backbone_config={"width": 1})
    with pytest.raises(PluginRuntimeError, match=f"{OWNER}.*{method}: ValueError: lost"):
        recognizer.fit(make_faces(1), make_faces(1))


@pytest.mark.parametrize(
    ("detect", "error", "cause"),
    [
        ("return [Detection(Box(90, 0, 9, 9))]", PluginContractError, r"80x60.*Box\(x=90"),
        ("return [Detection(Box(0, -9, 9, 9))]", PluginContractError, r"Box\(x=0, y=-9"),
        ("return [Detection(whole), Detection(Box(0, 0, 0, 9))]", PluginContractError, "width=0"),
        ("return [Detection(Box(0, 0, 1e6, 9))]", PluginContractError, "width=1000000"),
        ("return [Detection(Box(np.nan, 0, 9, 9))]", PluginContractError, "x=nan"),
        ("return [Detection(whole, score=np.inf)]", PluginContractError, "score=inf"),
        ("return [Detection((0, 0, 9, 9))]", PluginContractError, r"\(0, 0, 9, 9\)"),
        ("return [(0, 0, 9, 9)]", PluginContractError, r"returned \(0, 0, 9, 9\)"),
        ("return None", PluginContractError, "a list of Detections .* returned NoneType"),
        ("raise MemoryError('large')", PluginRuntimeError, "MemoryError: large"),
        ("exit(4)", PluginRuntimeError, "SystemExit: 4"),
        ("yield Detection(whole); 1 / 0", PluginRuntimeError, "ZeroDivisionError"),
    ],
)
def test_a_detector_that_returns_something_else_is_named(
    site: Site, tiny_folder: Path, detect: str, error: type[PluginError], cause: str
) -> None:
    site.install("acme-emonet", detector(detect))
    acme = emonet.create_detector("acme")
    with pytest.raises(error, match=f"{OWNER}.*{cause}"):
        acme.detect(IMAGE)
    assert_others_work()
    recognizer = EmotionRecognizer.from_pretrained(tiny_folder, detector="acme")
    with pytest.raises(error, match=f"{OWNER}.*{cause}"):
        recognizer.predict(IMAGE)
    # Among many images it is that image's error.
    (result,) = recognizer.predict([IMAGE])
    assert type(result.error) is error


def test_what_a_component_offers_besides_the_contract_can_be_used(site: Site) -> None:
    learning = "def fit(self, faces):\n        self.state = len(faces)\n        return self"
    site.install("acme-emonet", extractor("return vectors", members=learning))
    acme = emonet.create_feature_extractor("acme")
    acme.fit(FACES)
    assert acme.state == 3
    with pytest.raises(AttributeError):
        _ = acme.missing


HOSTILE = {
    "imports-nothing": "import no_such_library",
    "no-python": "def broken(:",
    "exits": "raise SystemExit(3)",
    "misspelt": "@hookimpl\ndef emonet_register_backbone():\n    return []",
    "wants-more": "@hookimpl\ndef emonet_register_backbones(catalog):\n    return []",
    "returns-names": "@hookimpl\ndef emonet_register_detectors():\n    return ['acme']",
    "takes-a-name": backbone("").replace('"acme"', '"resnet50"'),
}


def test_hostile_plugins_together_stop_neither_import_nor_the_rest(site: Site) -> None:
    for name, source in HOSTILE.items():
        site.install(f"{name}-emonet", source, name=name)
    site.install("good-emonet", extractor("return vectors"))
    finished = subprocess.run(
        [sys.executable, "-m", "emonet", "plugins", "--json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    records = {record["distribution"]: record for record in json.loads(finished.stdout)}
    for name in HOSTILE:
        record = records[f"{name}-emonet"]
        assert record["status"] == "failed"
        assert f"plugin '{name}' of {name}-emonet 1.2.3" in record["error"]
        assert record["error"] in finished.stderr
    assert records["good-emonet"]["status"] == records["emonet"]["status"] == "ok"


OLD = backbone("x = layers.Dense(config['size'], name='dense')(x)", spec="defaults={'size': 3}")
NEW = backbone(
    "x = layers.Dense(config['units'], name='dense')(x)",
    spec="defaults={'units': 3, 'scale': 1.0}, config_version=2, upgrade=upgrade",
    before="asked = []\ndef upgrade(version, config):\n    asked.append((version, dict(config)))\n"
    "    return {'units': config['size']}\n",
)


def save_with_acme(folder: Path, **settings: int) -> np.ndarray:
    """Save a model with random weights; returns its probabilities for FACES."""
    config = EmotionRecognizer("acme", backbone_config=settings, detector="whole_image").config
    network = build_network(config.networks[0], num_classes=7, seed=0)
    write_model(folder, Model(config=config, weights={"acme": network.get_weights()}))
    return network.predict_proba(FACES, [])


def test_a_model_of_an_older_plugin_is_upgraded(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme-emonet", OLD, version="1.0")
    expected = save_with_acme(tmp_path / "model", size=5)
    site.upgrade("acme-emonet", NEW, version="2.0", monkeypatch=monkeypatch)
    recognizer = EmotionRecognizer.from_pretrained(tmp_path / "model")
    assert sys.modules["acme_emonet"].asked == [(1, {"size": 5})]
    np.testing.assert_array_equal(recognizer.predict_proba(FACES), expected)
    part = recognizer.config.networks[0].backbone
    assert (part.config, part.config_version) == ({"units": 5, "scale": 1.0}, 2)
    # Saved again, it is a model of the newer plugin.
    recognizer.save_pretrained(tmp_path / "again")
    assert read_config(tmp_path / "again" / "config.json").networks[0].backbone == part


def test_a_model_of_a_newer_plugin_is_refused_with_both_versions(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme-emonet", NEW, version="2.0")
    save_with_acme(tmp_path / "model", units=5)
    site.upgrade("acme-emonet", OLD, version="1.0", monkeypatch=monkeypatch)
    with pytest.raises(PluginVersionError) as raised:
        EmotionRecognizer.from_pretrained(tmp_path / "model")
    message = str(raised.value)
    assert "saved with config version 2" in message
    assert "plugin 'acme' of acme-emonet 1.0 reads up to 1" in message


def test_a_model_of_an_older_plugin_without_an_upgrade_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme-emonet", OLD, version="1.0")
    save_with_acme(tmp_path / "model", size=5)
    stuck = NEW.replace(", upgrade=upgrade", "")
    site.upgrade("acme-emonet", stuck, version="2.0", monkeypatch=monkeypatch)
    message = r"config version 1; .*acme-emonet 2\.0 reads only 2\. Install an older release"
    with pytest.raises(PluginVersionError, match=message):
        EmotionRecognizer.from_pretrained(tmp_path / "model")


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int | str | None:
    """Run the command line in this process; returns its exit status."""
    from emonet.cli import main

    monkeypatch.setattr(sys, "argv", ["emonet", *map(str, arguments)])
    with pytest.raises(SystemExit) as exited:
        main()
    return exited.value.code


@pytest.mark.parametrize("kind", ["backbone", "feature_extractor", "detector"])
def test_a_new_plugin_refuses_to_overwrite(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "plugins", "new", "acme_one", "--kind", kind) == 0
    assert "pip install -e 'emonet-acme-one[test]'" in capsys.readouterr().out
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path / "emonet-acme-one")) for path in files} == {
        "README.md",
        "pyproject.toml",
        "src/emonet_acme_one/__init__.py",
        "tests/test_acme_one.py",
    }
    assert not any(b"$" in content for content in files.values())
    assert command(monkeypatch, "plugins", "new", "acme_one", "--kind", kind) == 2
    assert "exists already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize(
    "name", ["Acme", "acme-net", "2net", "../net", "bovw", "resnet18", "acme_", 58 * "a"]
)
def test_a_new_plugin_needs_a_name_of_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "plugins", "new", name) == 2
    assert repr(name) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_example_and_new_plugins_pass_their_own_tests(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [site.install_tree(MOBILENET)]
    for kind in ("backbone", "feature_extractor", "detector"):
        project = tmp_path / f"new-{kind}"
        status = command(
            monkeypatch, "plugins", "new", f"acme_{kind}", "--kind", kind, "--out", project
        )
        assert status == 0
        folders.append(site.install_tree(project))
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--import-mode=importlib"]
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *folders],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    # More than the three kinds' checks, each of which has ten or so.
    assert int(finished.stdout.split(" passed")[0].split()[-1]) > 50
