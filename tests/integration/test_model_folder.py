"""Model folders: what is saved is what is loaded, and a broken folder says what is wrong."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import load_file, save_file
from tests.conftest import TINY, make_faces
from tests.integration.conftest import Run, edit_config

from emonet import EmotionRecognizer
from emonet.assembly.networks import build_network
from emonet.config import Framing, HeadConfig, ModelConfig
from emonet.errors import (
    ComponentNotFoundError,
    ConfigError,
    ConfigVersionError,
    EmonetError,
    ImageError,
    InputError,
    ModelError,
    ModelNotFoundError,
    NotFittedError,
    PluginVersionError,
    WeightsError,
)
from emonet.model import Model
from emonet.records import UNKNOWN
from emonet.storage import folder as folder_module
from emonet.storage import sources
from emonet.storage.config_json import config_from_json, config_to_json
from emonet.storage.folder import write_model
from emonet.storage.update import update_model

FACES = make_faces(1, seed=3).images
NETWORK = "resnet18"
WEIGHTS = f"{NETWORK}.safetensors"
GRAPH = f"{NETWORK}.onnx"
FILES = {"README.md", "config.json", "training.json", WEIGHTS, GRAPH}


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small model to break."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


def unchanged(model: Model) -> Model:
    return model


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def replace_weights(folder: Path, data: bytes) -> None:
    """Exchange the weights and make the digest in config.json fit."""
    (folder / WEIGHTS).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit_config(folder, lambda config: config["files"].update({WEIGHTS: digest}))


def edit_weights(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / "edited")
    replace_weights(folder, (folder / "edited").read_bytes())


PREDICT = """
import sys
import numpy as np
from emonet import EmotionRecognizer
faces, *folders = sys.argv[1:]
for folder in folders:
    probabilities = EmotionRecognizer.from_pretrained(folder).predict_proba(np.load(faces))
    np.save(folder + ".npy", probabilities)
"""


def test_a_new_process_gives_bit_equal_probabilities(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    single, half = tmp_path / "single", tmp_path / "half"
    tiny_recognizer.save_pretrained(single)
    tiny_recognizer.save_pretrained(half, dtype="float16")
    np.save(tmp_path / "faces.npy", FACES)
    subprocess.run(
        [sys.executable, "-c", PREDICT, tmp_path / "faces.npy", single, half],
        check=True,
        capture_output=True,
        timeout=600,
    )
    expected = EmotionRecognizer.from_pretrained(single).predict_proba(FACES)
    np.testing.assert_array_equal(np.load(tmp_path / "single.npy"), expected)
    np.testing.assert_allclose(expected, tiny_recognizer.predict_proba(FACES), atol=1e-4)
    from_half = EmotionRecognizer.from_pretrained(half).predict_proba(FACES)
    np.testing.assert_array_equal(np.load(tmp_path / "half.npy"), from_half)
    np.testing.assert_allclose(from_half, expected, atol=0.02)
    assert (half / WEIGHTS).stat().st_size < 0.7 * (single / WEIGHTS).stat().st_size


def test_configuration_and_record_survive(
    tiny_recognizer: EmotionRecognizer, tiny_folder: Path
) -> None:
    loaded = EmotionRecognizer.from_pretrained(tiny_folder)
    assert replace(loaded.config, files={}) == replace(tiny_recognizer.config, files={})
    assert loaded.config.framing
    assert loaded.labels == tiny_recognizer.labels
    assert loaded.record == tiny_recognizer.record
    assert len(loaded.record.history) == 16


def test_a_folder_holds_five_plain_files(tiny_folder: Path) -> None:
    assert contents(tiny_folder).keys() == FILES
    # Nothing in them is code, or could become some: text, arrays that safetensors reads, sums.
    for name in FILES - {WEIGHTS, GRAPH}:
        (tiny_folder / name).read_text(encoding="utf-8")
    assert load_file(tiny_folder / WEIGHTS)


@pytest.mark.parametrize("source", [str, Path], ids=["str", "Path"])
def test_a_folder_is_named_by_str_or_path(tiny_folder: Path, source: type) -> None:
    assert EmotionRecognizer.from_pretrained(source(tiny_folder)).labels[0] == "anger"


def test_what_was_loaded_saves_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    again = tmp_path / tiny_folder.name
    EmotionRecognizer.from_pretrained(tiny_folder).save_pretrained(again)
    assert contents(again) == contents(tiny_folder)


def test_a_change_of_the_record_leaves_weights_and_graphs_alone(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """Whatever dtype they have, although they are read and written in full."""
    loaded = EmotionRecognizer.from_pretrained(tiny_folder)
    loaded.save_pretrained(tmp_path / "single")
    loaded.save_pretrained(tmp_path / "half", dtype="float16")
    loaded.quantise(FACES).save_pretrained(tmp_path / "int8")
    for folder in (tmp_path / "single", tmp_path / "half", tmp_path / "int8"):
        before, old = contents(folder), json.loads((folder / "config.json").read_text())
        written = {name: (folder / name).stat().st_mtime_ns for name in (WEIGHTS, GRAPH)}
        update_model(folder, lambda m: replace(m, record=replace(m.record, command="my command")))
        after, new = contents(folder), json.loads((folder / "config.json").read_text())
        assert {name for name in before if before[name] != after[name]} == {
            "README.md",
            "training.json",
        }
        assert new == old
        for name, at in written.items():
            assert (folder / name).stat().st_mtime_ns == at
        assert EmotionRecognizer.from_pretrained(folder).record.command == "my command"


def test_a_model_is_written_elsewhere_with_its_own_dtype(tiny_folder: Path, tmp_path: Path) -> None:
    half, again = tmp_path / "half", tmp_path / "again" / "half"
    EmotionRecognizer.from_pretrained(tiny_folder).save_pretrained(half, dtype="float16")
    write_model(again, EmotionRecognizer.from_pretrained(half).model)
    assert contents(again) == contents(half)


def test_config_json_leaves_out_defaults(
    tiny_recognizer: EmotionRecognizer, tiny_folder: Path
) -> None:
    text = (tiny_folder / "config.json").read_text()
    stored = json.loads(text)
    assert stored["temperature"] == 1.0, "for readers of the file"
    assert "test_time_augmentation" not in stored
    assert stored["networks"][0].keys() == {"name", "backbone"}
    config = config_from_json(text, where="config.json")
    assert replace(config, files={}) == replace(tiny_recognizer.config, files={})
    assert config_to_json(config) == text


@pytest.mark.parametrize("written_out", [True, False])
def test_a_config_reads_back_equal(tiny_recognizer: EmotionRecognizer, written_out: bool) -> None:
    """With every value like its default, or unlike it."""
    config = tiny_recognizer.config
    if written_out:
        # As releases wrote it that left nothing out.
        text = json.dumps(asdict(config))
    else:
        (network,) = config.networks
        network = replace(
            network,
            features=(replace(config.detector, name="bovw", config={}),),
            head=HeadConfig(units=(8,), feature_units=16),
            face_size=(40, 44),
            subtract_mean_face=True,
            weight=0.5,
            graph_precision="int8",
        )
        framing = {"dlib_hog": Framing(), "yunet": Framing(shift_y=0.1)}
        config = replace(
            config,
            networks=(network,),
            framing=framing,
            temperature=1.5,
            test_time_augmentation="shift",
        )
        text = config_to_json(config)
    assert config_from_json(text, where="config.json") == config


@pytest.fixture(scope="module")
def other_weights(tiny_recognizer: EmotionRecognizer) -> dict[str, np.ndarray]:
    """Weights of the same architecture that answer otherwise."""
    config = tiny_recognizer.config
    network = build_network(config.networks[0], num_classes=7, seed=9)
    return network.get_weights()


def write_ensemble(
    folder: Path,
    tiny: EmotionRecognizer,
    other_weights: dict[str, np.ndarray],
    *,
    weights: tuple[float, float] = (0.25, 0.75),
    temperature: float = 1.0,
) -> ModelConfig:
    (network,) = tiny.config.networks
    config = replace(
        tiny.config,
        networks=(
            replace(network, name="first", weight=weights[0]),
            replace(network, name="second", weight=weights[1]),
        ),
        temperature=temperature,
    )
    arrays = {"first": tiny.weights[NETWORK], "second": other_weights}
    write_model(folder, Model(config=config, weights=arrays))
    return config


def test_an_ensemble_answers_with_the_weighted_mean(
    tiny_recognizer: EmotionRecognizer, other_weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    def answer(*weights: float, temperature: float = 1.0) -> np.ndarray:
        folder = tmp_path / str(weights)
        write_ensemble(
            folder, tiny_recognizer, other_weights, weights=weights, temperature=temperature
        )
        return EmotionRecognizer.from_pretrained(folder).predict_proba(FACES)

    first, second = tiny_recognizer.predict_proba(FACES), answer(0.0, 1.0)
    assert np.abs(first - second).max() > 0.05
    mean = first / 4 + second * 3 / 4
    np.testing.assert_allclose(answer(0.25, 0.75), mean, atol=1e-6)
    # Weights need not sum to 1; the temperature works on their mean.
    softened = np.sqrt(mean) / np.sqrt(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer(1.0, 3.0, temperature=2.0), softened, atol=1e-6)


def test_an_ensemble_saves_a_file_for_each_network_and_is_not_fitted(
    tiny_recognizer: EmotionRecognizer, other_weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    config = write_ensemble(tmp_path / "hand", tiny_recognizer, other_weights)
    ensemble = EmotionRecognizer.from_pretrained(tmp_path / "hand")
    assert replace(ensemble.config, files={}) == config
    ensemble.save_pretrained(tmp_path / "saved")
    names = {"first.safetensors", "second.safetensors"}
    graphs = {"first.onnx", "second.onnx"}
    assert contents(tmp_path / "saved").keys() == {"README.md", "config.json", *names, *graphs}
    for name in names:
        one, other = (tmp_path / place / name for place in ("hand", "saved"))
        assert one.read_bytes() == other.read_bytes()
    with pytest.raises(ConfigError, match="fit trains one network"):
        ensemble.fit(make_faces(2), make_faces(2))


def test_overwriting_leaves_nothing_of_the_old_model(
    tiny_recognizer: EmotionRecognizer,
    other_weights: dict[str, np.ndarray],
    folder: Path,
    tmp_path: Path,
) -> None:
    untold = tmp_path / "untold"
    write_model(untold, Model(config=tiny_recognizer.config, weights={NETWORK: other_weights}))
    EmotionRecognizer.from_pretrained(untold).save_pretrained(folder)
    loaded = EmotionRecognizer.from_pretrained(folder)
    kernel = "head/probabilities/kernel"
    np.testing.assert_array_equal(loaded.weights[NETWORK][kernel], other_weights[kernel])
    # How the old weights were trained says nothing about these.
    assert loaded.record == UNKNOWN


@pytest.mark.parametrize(
    ("value", "dtype"), [(np.nan, "float32"), (np.inf, "float32"), (1e6, "float16")]
)
def test_weights_that_can_not_be_stored_replace_nothing(
    folder: Path, value: float, dtype: str
) -> None:
    before = contents(folder)
    recognizer = EmotionRecognizer.from_pretrained(folder)
    kernel = recognizer.weights[NETWORK]["head/probabilities/kernel"]
    recognizer.weights[NETWORK]["head/probabilities/kernel"] = np.full_like(kernel, value)
    with pytest.raises(WeightsError, match=f"head/probabilities/kernel.* as {dtype}"):
        recognizer.save_pretrained(folder, dtype=dtype)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("limit", "value", "what"),
    [
        ("MAX_GRAPH_BYTES", 10_000, f"{NETWORK}.onnx"),
        ("max_memory", lambda: 10_000, "all weights together"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: Any, what: str
) -> None:
    recognizer, before = EmotionRecognizer.from_pretrained(folder), contents(folder)
    monkeypatch.setattr(folder_module, limit, value)
    with pytest.raises(WeightsError, match=f"{what} would have .* Save with dtype='float16'"):
        recognizer.save_pretrained(folder)
    assert contents(folder) == before


def test_a_folder_may_be_larger_than_a_model_on_the_hub(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (folder / WEIGHTS).stat().st_size
    for module in (sources, folder_module):
        monkeypatch.setattr(module, "MAX_HUB_BYTES", size // 2)
        monkeypatch.setattr(module, "max_memory", lambda: size)
    EmotionRecognizer.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    monkeypatch.setattr(sources, "max_memory", lambda: size - 1)
    with pytest.raises(WeightsError, match=rf"{WEIGHTS} .*larger than {size - 1} bytes"):
        EmotionRecognizer.from_pretrained(folder)


def test_the_memory_bounds_all_networks_together(
    tiny_recognizer: EmotionRecognizer,
    other_weights: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_ensemble(tmp_path, tiny_recognizer, other_weights)
    size = (tmp_path / "first.safetensors").stat().st_size
    monkeypatch.setattr(sources, "max_memory", lambda: 3 * size // 2)
    with pytest.raises(WeightsError, match=r"second\.safetensors .*larger than"):
        EmotionRecognizer.from_pretrained(tmp_path)
    monkeypatch.setattr(sources, "max_memory", lambda: 2 * size)
    EmotionRecognizer.from_pretrained(tmp_path)


def test_a_graph_in_int8_may_be_as_large_as_its_weights(folder: Path) -> None:
    (network,) = EmotionRecognizer.from_pretrained(folder).config.networks
    assert folder_module.max_graph_bytes(network, 10**8) == 2**22
    network = replace(network, graph_precision="int8")
    assert folder_module.max_graph_bytes(network, 10**8) == 2**22 + 10**8


def test_a_bad_second_network_does_not_replace_the_first(
    tiny_recognizer: EmotionRecognizer, other_weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    write_ensemble(tmp_path, tiny_recognizer, other_weights)
    before = contents(tmp_path)
    ensemble = EmotionRecognizer.from_pretrained(tmp_path)
    for name, value in (("first", 0.5), ("second", np.nan)):
        for key, array in ensemble.weights[name].items():
            ensemble.weights[name][key] = np.full_like(array, value)
    with pytest.raises(WeightsError):
        ensemble.save_pretrained(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failing", range(4))
def test_a_full_disk_leaves_the_old_model_as_it_was(
    tiny_recognizer: EmotionRecognizer,
    other_weights: dict[str, np.ndarray],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    before, written = contents(folder), []
    originals = {"write_bytes": Path.write_bytes, "write_text": Path.write_text}

    def until_full(method: str) -> Callable[..., int]:
        def write(path: Path, data: Any, **options: Any) -> int:
            written.append(path.name)
            if len(written) <= failing:
                return originals[method](path, data, **options)
            originals[method](path, data[: len(data) // 2], **options)
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        return write

    changed = EmotionRecognizer.from_pretrained(folder)
    changed.weights[NETWORK].update(other_weights)
    with monkeypatch.context() as patch:
        for method in originals:
            patch.setattr(Path, method, until_full(method))
        with pytest.raises(OSError, match="No space left"):
            changed.save_pretrained(folder)
    assert len(written) == failing + 1
    assert contents(folder) == before
    loaded = EmotionRecognizer.from_pretrained(folder)
    assert loaded.record == tiny_recognizer.record


def test_saving_needs_weights_and_a_dtype_that_exists(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    with pytest.raises(NotFittedError, match="fit"):
        EmotionRecognizer(**TINY).save_pretrained(tmp_path / "none")
    with pytest.raises(ConfigError, match="float64"):
        tiny_recognizer.save_pretrained(tmp_path / "none", dtype="float64")
    assert not (tmp_path / "none").exists() or not contents(tmp_path / "none")


def set_network(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit_config(folder, lambda c: c["networks"][0].update(values))


def set_key(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit_config(folder, lambda config: config.update(values))


def cut_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1000])


def flip_a_byte(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-500] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def cut_weights_and_fix_digest(folder: Path) -> None:
    replace_weights(folder, (folder / WEIGHTS).read_bytes()[:-1000])


def bfloat16_weights(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    replace_weights(folder, len(header).to_bytes(8, "little") + header + b"\x80\x3f\x80\x3f")


def not_a_number(folder: Path) -> None:
    edit_weights(folder, lambda arrays: arrays["head/probabilities/bias"].fill(np.nan))


BROKEN = {
    "no folder": (shutil.rmtree, ModelNotFoundError, r"No model in .*model"),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        ModelNotFoundError,
        r"No model in .*model: it has no config\.json",
    ),
    "config is no JSON": (
        lambda folder: (folder / "config.json").write_text('{"library": "emonet",'),
        ConfigError,
        r"config\.json is not JSON",
    ),
    "config is not text": (
        lambda folder: (folder / "config.json").write_bytes(b"\x00\xff\xfe"),
        ConfigError,
        r"config\.json is not JSON",
    ),
    "config of something else": (
        lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'),
        ConfigError,
        r"config\.json is not an emonet model",
    ),
    "unknown key": (
        set_key(temperatur=2.0),
        ConfigError,
        r"config\.json: temperatur: unknown key. Did you mean 'temperature'\?",
    ),
    "unknown key of an older emonet": (
        set_key(emonet_version="0.0.1", something_new=True),
        ConfigError,
        r"config\.json: something_new: unknown key",
    ),
    "unknown key of a newer emonet": (
        set_key(emonet_version="99.0", something_new=True),
        ConfigVersionError,
        r"config\.json: something_new: unknown key.* emonet 99\.0 wrote the file.* Upgrade emonet",
    ),
    "unknown key inside": (
        set_network(wieght=2.0),
        ConfigError,
        r"config\.json: networks.0.wieght: unknown key. Did you mean 'weight'\?",
    ),
    "newer format": (
        set_key(format_version=2, something_new=True),
        ConfigVersionError,
        r"config\.json has format version 2; .* Upgrade emonet",
    ),
    "path as network name": (
        set_network(name="../x"),
        ConfigError,
        r"config\.json: networks.0.name",
    ),
    "path as file name": (
        set_key(files={"../x.safetensors": 64 * "0"}),
        ConfigError,
        r"config\.json: files",
    ),
    "absolute file name": (
        set_key(files={"/etc/passwd": 64 * "0"}),
        ConfigError,
        r"config\.json: files",
    ),
    "file of no network": (
        set_key(files={WEIGHTS: 64 * "0", "other.safetensors": 64 * "0"}),
        ConfigError,
        r"config\.json: files must list \['resnet18\.safetensors'\], got .*'other",
    ),
    "no weights": (
        lambda folder: (folder / WEIGHTS).unlink(),
        WeightsError,
        r"There is no file .*model/resnet18\.safetensors",
    ),
    "cut weights": (
        cut_weights,
        WeightsError,
        r"model/resnet18\.safetensors was altered or damaged",
    ),
    "flipped byte": (
        flip_a_byte,
        WeightsError,
        r"model/resnet18\.safetensors was altered or damaged: its SHA-256 is [0-9a-f]{64}",
    ),
    "cut weights with digest": (
        cut_weights_and_fix_digest,
        WeightsError,
        r"model/resnet18\.safetensors is not a safetensors file",
    ),
    "garbage with digest": (
        lambda folder: replace_weights(folder, b"\x80\x04garbage, as of pickle" * 9),
        WeightsError,
        r"model/resnet18\.safetensors is not",
    ),
    "no bytes with digest": (
        lambda folder: replace_weights(folder, b""),
        WeightsError,
        r"model/resnet18\.safetensors is no part of a model: empty",
    ),
    "bfloat16 with digest": (bfloat16_weights, WeightsError, r"model/resnet18\.safetensors"),
    "not a number": (not_a_number, WeightsError, r"resnet18\.safetensors.*probabilities/bias"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_an_error_that_names_file_and_problem(folder: Path, case: str) -> None:
    break_it, error, message = BROKEN[case]
    break_it(folder)
    with pytest.raises(error, match=message) as caught:
        EmotionRecognizer.from_pretrained(folder)
    assert caught.type is error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: edit_weights(folder, lambda a: a.pop("head/probabilities/bias")),
            r"resnet18.* lacks 1 of \d+ weights, first 'head/probabilities/bias'",
        ),
        (
            lambda folder: edit_weights(folder, lambda a: a.update(surplus=np.zeros(3))),
            r"resnet18.* holds 1 weights .* first 'surplus'",
        ),
        (
            lambda folder: edit_config(
                folder, lambda c: c["networks"][0]["backbone"]["config"].update(width=8)
            ),
            r"resnet18.*'backbone/stem_conv/kernel' has shape \(3, 3, 3, 4\)",
        ),
        (
            set_key(labels=["good", "bad"], training_counts={}),
            r"resnet18.*'head/probabilities/kernel' has shape \(32, 7\), .*\(32, 2\)",
        ),
    ],
    ids=["missing", "extra", "other width", "other labels"],
)
def test_weights_of_another_network_are_refused(
    folder: Path, change: Callable[[Path], None], message: str
) -> None:
    change(folder)
    with pytest.raises(WeightsError, match=message):
        EmotionRecognizer.from_pretrained(folder, runtime="keras").predict_proba(FACES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: edit_weights(folder, lambda a: a.pop("head/probabilities/bias")),
            r"resnet18\.onnx asks for data 'head/probabilities/bias' that the model lacks",
        ),
        (
            lambda folder: edit_weights(folder, lambda a: a.update(surplus=np.zeros(3))),
            r"onnxruntime can't load the graph: .*surplus",
        ),
        (
            set_key(labels=["good", "bad"], training_counts={}),
            r"The graph belongs to another network: .*\(7,\)",
        ),
    ],
    ids=["missing", "extra", "other labels"],
)
def test_weights_that_do_not_fit_the_graph_are_refused(
    folder: Path, change: Callable[[Path], None], message: str
) -> None:
    change(folder)
    with pytest.raises(WeightsError, match=message):
        EmotionRecognizer.from_pretrained(folder).predict_proba(FACES)


def test_all_components_that_are_missing_are_named(folder: Path) -> None:
    def acme(config: dict[str, Any]) -> None:
        config["detector"].update(name="acme_boxes", distribution="acme-vision")
        config["networks"][0]["backbone"].update(name="acme_net", distribution="acme-vision")
        config["networks"][0]["features"] = [{"name": "acme_lines", "distribution": "acme-old"}]

    edit_config(folder, acme)
    # Weights are not looked at before: on the Hub they would have been downloaded in vain.
    (folder / WEIGHTS).unlink()
    with pytest.raises(ComponentNotFoundError) as caught:
        EmotionRecognizer.from_pretrained(folder)
    for name in ("acme_boxes", "acme_net", "acme_lines", "acme-vision", "acme-old"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "resnet81"}, ComponentNotFoundError, "'resnet81'.*Did you mean 'resnet18'"),
        ({"config": {"widht": 4}}, ConfigError, "no setting 'widht'.*Did you mean 'width'"),
        ({"config_version": 99}, PluginVersionError, "resnet18 .*version 99.*Upgrade"),
    ],
    ids=["name", "setting", "version"],
)
def test_a_component_that_does_not_fit_is_refused(
    folder: Path, change: dict[str, Any], error: type[EmonetError], message: str
) -> None:
    edit_config(folder, lambda config: config["networks"][0]["backbone"].update(change))
    with pytest.raises(error, match=message):
        EmotionRecognizer.from_pretrained(folder)


@pytest.fixture
def bundled(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bundled models."""
    for name in ("default", "paper_ensemble"):
        shutil.copytree(tiny_folder, tmp_path / "bundled" / name)
    monkeypatch.setattr(sources, "BUNDLED", tmp_path / "bundled")
    return tmp_path / "bundled"


@pytest.mark.parametrize("source", [None, "default", "paper_ensemble"])
def test_bundled_models_go_by_their_names(
    bundled: Path, tiny_recognizer: EmotionRecognizer, source: str | None
) -> None:
    assert EmotionRecognizer.from_pretrained(source).record == tiny_recognizer.record


def test_only_what_is_on_the_hub_has_revisions(
    bundled: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in (None, "paper_ensemble", tiny_folder, str(tiny_folder)):
        with pytest.raises(ConfigError, match="Only a Hub repository"):
            EmotionRecognizer.from_pretrained(source, revision="main")
    # A folder of the repository's name does not stand for a revision of it.
    shutil.copytree(tiny_folder, tmp_path / "org" / "model")
    monkeypatch.chdir(tmp_path)
    EmotionRecognizer.from_pretrained("org/model")
    with pytest.raises(ModelError):
        EmotionRecognizer.from_pretrained("org/model", revision="main", local_files_only=True)


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("defualt", "Did you mean 'default'"),
        ("paper-ensemble", "Did you mean 'paper_ensemble'"),
        ("xyz", None),
        ("/no/such/folder", None),
        ("../missing", None),
        ("./missing", None),
        ("missing/", None),
    ],
)
def test_an_unknown_model_is_an_error_that_names_the_nearest(
    bundled: Path, source: str, hint: str | None
) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        EmotionRecognizer.from_pretrained(source)
    message = str(caught.value)
    assert f"No model {source!r}: it is no folder" in message
    assert "default, paper_ensemble" in message
    assert (hint in message) if hint else ("Did you mean" not in message)


def test_another_detector_can_be_chosen(tiny_folder: Path) -> None:
    loaded = EmotionRecognizer.from_pretrained(tiny_folder, detector="whole_image")
    assert loaded.config.detector.name == "whole_image"
    result = loaded.predict(FACES[0])
    assert [int(value) for value in result.faces[0].box] == [0, 0, 48, 48]


def test_settings_of_the_models_own_detector_can_be_changed(tiny_folder: Path) -> None:
    own = EmotionRecognizer.from_pretrained(tiny_folder).config.detector
    changed = EmotionRecognizer.from_pretrained(tiny_folder, detector_config={"upsample": 0})
    assert changed.config.detector == replace(own, config={**own.config, "upsample": 0})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"detector": "dlib_hgo"}, ComponentNotFoundError, "Did you mean 'dlib_hog'"),
        ({"detector_config": {"upsampel": 1}}, ConfigError, "Did you mean 'upsample'"),
        ({"detector": "whole_image", "detector_config": {"upsample": 1}}, ConfigError, "upsample"),
    ],
)
def test_a_detector_that_does_not_exist_is_refused(
    tiny_folder: Path, arguments: dict[str, Any], error: type[EmonetError], message: str
) -> None:
    with pytest.raises(error, match=message):
        EmotionRecognizer.from_pretrained(tiny_folder, **arguments)


@pytest.mark.parametrize(
    "text",
    [None, b"", b"{", b"[]", b"\xff\xfe", b'{"a": 1}', b'{"history": 5}', b"[" * 100_000],
    ids=["none", "empty", "cut", "list", "no text", "unknown key", "wrong type", "deep"],
)
def test_a_damaged_record_stops_neither_loading_nor_saving(
    folder: Path, tmp_path: Path, text: bytes | None
) -> None:
    (folder / "training.json").unlink()
    if text is not None:
        (folder / "training.json").write_bytes(text)
    loaded = EmotionRecognizer.from_pretrained(folder)
    assert loaded.record == UNKNOWN
    loaded.save_pretrained(tmp_path / "again")
    assert contents(tmp_path / "again").keys() == FILES - {"training.json"}


def test_a_record_that_can_not_be_read_is_not_written_over(folder: Path) -> None:
    record = json.loads((folder / "training.json").read_text())
    text = json.dumps({**record, "of_a_newer_emonet": 1})
    (folder / "training.json").write_text(text)
    with pytest.raises(ConfigError, match=r"training\.json can't be read"):
        update_model(folder, unchanged)
    assert (folder / "training.json").read_text() == text


def test_the_folder_that_one_is_in_has_a_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "README.md").unlink()
    monkeypatch.chdir(folder)
    update_model(Path(), unchanged)
    assert f"\n# {folder.name}\n" in (folder / "README.md").read_text()


@pytest.mark.parametrize("recorded", [True, False])
def test_an_evaluation_is_kept_and_shown(folder: Path, tmp_path: Path, recorded: bool) -> None:
    if not recorded:
        (folder / "training.json").unlink()
    recognizer = EmotionRecognizer.from_pretrained(folder)
    report = recognizer.evaluate(make_faces(2, seed=5))
    recognizer.note_evaluation("PrivateTest", report)
    recognizer.save_pretrained(tmp_path / "again", title="My own model")
    again = EmotionRecognizer.from_pretrained(tmp_path / "again")
    assert again.record == recognizer.record
    assert again.record.evaluation == {"PrivateTest": report}
    card = (tmp_path / "again" / "README.md").read_text()
    assert "# My own model" in card
    assert f"PrivateTest: accuracy {100 * report.accuracy:.2f} %" in card
    assert "None" not in card


def test_a_detector_that_is_replaced_need_not_be_installed(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    edit_config(folder, lambda config: config["detector"].update(name="acme", plugin="acme"))
    with pytest.raises(ComponentNotFoundError, match="acme"):
        EmotionRecognizer.from_pretrained(folder)
    loaded = EmotionRecognizer.from_pretrained(
        folder, detector="dlib_hog", detector_config={"upsample": 0}
    )
    assert loaded.config.detector.config["upsample"] == 0


def test_a_folder_names_the_releases_that_wrote_it(folder: Path, tmp_path: Path) -> None:
    written = (folder / "config.json").read_text()

    def age(config: dict[str, Any]) -> None:
        config["emonet_version"] = config["detector"]["distribution_version"] = "0.0.1"

    edit_config(folder, age)
    EmotionRecognizer.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == written


def test_a_stream_of_one_image_is_refused(tiny_recognizer: EmotionRecognizer) -> None:
    for image in ("photo.jpg", b"", np.zeros((48, 48, 3), np.uint8)):
        with pytest.raises(InputError, match="stream takes an iterable of images, got one"):
            tiny_recognizer.stream(image)


def test_a_save_that_fails_takes_no_record_away(
    tiny_recognizer: EmotionRecognizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)
    bare = EmotionRecognizer.from_pretrained(folder)
    bare.set_record(UNKNOWN)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("emonet.storage.folder.config_to_json", full)
        with pytest.raises(OSError, match="No space left"):
            bare.save_pretrained(folder)
    assert contents(folder) == before
    bare.save_pretrained(folder)
    assert not (folder / "training.json").exists()


@pytest.mark.parametrize("license", ["Apache 2.0", "other: see x", "", "mit\n"])
def test_a_licence_is_written_as_the_hub_does(
    tiny_recognizer: EmotionRecognizer, tmp_path: Path, license: str
) -> None:
    with pytest.raises(ConfigError, match="as the Hub abbreviates it"):
        tiny_recognizer.save_pretrained(tmp_path / "new", license=license)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("license", ["mit", "cc-by-4.0", "0bsd", "1.0"])
def test_a_licence_is_kept_with_and_without_quotes(folder: Path, license: str) -> None:
    card = folder / "README.md"
    text = card.read_text()
    for quote in ("", "'", '"'):
        card.write_text(text.replace("---\n", f"---\nlicense: {quote}{license}{quote}\n", 1))
        update_model(folder, unchanged)
        assert ModelCard.load(card).data.license == license


def test_one_crop_alone_is_told_to_be_put_into_a_list(tiny_recognizer: EmotionRecognizer) -> None:
    with pytest.raises(ImageError, match=r"got shape \(48, 48\): put a single image into a list"):
        tiny_recognizer.predict_proba(np.zeros((48, 48), np.uint8))


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_another_projects_files_are_not_overwritten(
    name: str, tiny_recognizer: EmotionRecognizer, run: Run, fer2013_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text("my project")
    with pytest.raises(ConfigError, match=rf"{name} does not belong to an emonet model"):
        tiny_recognizer.save_pretrained(tmp_path)
    outcome = run("quantise", "tiny", "--data", fer2013_csv, "--out", tmp_path)
    assert outcome.status != 0
    assert contents(tmp_path) == {name: b"my project"}


@pytest.mark.parametrize("source", ["", 5, b"fast", ["fast"]])
def test_what_names_no_model_is_refused(source: object) -> None:
    with pytest.raises(ModelNotFoundError, match="A model is the name of a bundled one"):
        EmotionRecognizer.from_pretrained(source)


def test_a_file_of_a_model_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="is a file, and a model is a folder: pass model"):
        EmotionRecognizer.from_pretrained("model/config.json")


KILLED_SAVES = """
import os, random, signal, sys, time
from pathlib import Path
from emonet import EmotionRecognizer

folder, chance, most = Path(sys.argv[1]), random.Random(0), 0
recognizer = EmotionRecognizer.from_pretrained("tiny")
recognizer.save_pretrained(folder)  # the first save imports much
os.fsync = lambda _: time.sleep(0.05)  # a slow disk
for _ in range(20):
    child = os.fork()
    while not child:
        recognizer.save_pretrained(folder)
    time.sleep(chance.uniform(0.1, 0.6))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    most = max(most, len(list(folder.glob(".emonet-*"))))
recognizer.save_pretrained(folder)
print(most)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows waits for an hour")
def test_saves_that_were_killed_leave_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_SAVES, str(tmp_path)]
    most = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert 0 < most <= 10, "leftovers are swept by the save after them"
    assert len(list(tmp_path.glob("*"))) == 5
    EmotionRecognizer.from_pretrained(tmp_path)
