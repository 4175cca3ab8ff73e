"""Ensembles: one answer of several networks, as a recognizer like any other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.conftest import Run
from tests.integration.recognizers import random_tiny

from emonet import EmotionRecognizer, load_dataset
from emonet.config import NetworkConfig
from emonet.errors import ConfigError, DataError, NotFittedError
from emonet.labels import FER2013
from emonet.model import Model

FACES = make_faces(3, seed=5)
HOG = {"bovw": {"landmarks": False}}


@pytest.fixture(scope="module")
def members(tiny_recognizer: EmotionRecognizer) -> list[EmotionRecognizer]:
    """Four that differ in features, in face size and in the order of labels."""
    return [
        tiny_recognizer,
        random_tiny(1, features=HOG),
        random_tiny(2, features=HOG, labels=FER2013[::-1]),
        random_tiny(3, face_size=(32, 40)),
    ]


@pytest.fixture(scope="module")
def whole(members: list[EmotionRecognizer]) -> EmotionRecognizer:
    return EmotionRecognizer.ensemble(members)


def by_label(recognizer: EmotionRecognizer, faces: np.ndarray) -> np.ndarray:
    """Probabilities in FER-2013's order, whatever the recognizer's own is."""
    probabilities = recognizer.predict_proba(faces)
    return probabilities[:, [recognizer.labels.index(label) for label in FER2013]]


def test_its_answer_is_the_mean_of_its_members(
    members: list[EmotionRecognizer], whole: EmotionRecognizer
) -> None:
    assert whole.labels == FER2013
    assert whole.config.face_sizes == ((48, 48), (32, 40))
    expected = np.mean([by_label(member, FACES.images) for member in members], axis=0)
    np.testing.assert_allclose(whole.predict_proba(FACES.images), expected, atol=2e-6)


def test_members_share_the_work(
    members: list[EmotionRecognizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    from emonet_bovw.extractor import Bovw

    transform, calls = Bovw.transform, []
    monkeypatch.setattr(
        Bovw, "transform", lambda self, faces: calls.append(len(faces)) or transform(self, faces)
    )
    EmotionRecognizer.ensemble(members).predict_proba(FACES.images)
    assert calls == [len(FACES)]


def test_it_finds_faces_once_and_cuts_them_to_every_size(
    whole: EmotionRecognizer, members: list[EmotionRecognizer], astronaut: Path
) -> None:
    result = whole.predict(astronaut)
    assert [face.box for face in result.faces] == [
        face.box for face in members[0].predict(astronaut).faces
    ]
    assert sum(result.faces[0].probabilities.values()) == pytest.approx(1, abs=1e-6)
    assert whole.predict_proba([]).shape == (0, 7)


def test_it_is_saved_and_loaded_as_one_folder(
    whole: EmotionRecognizer, tiny_recognizer: EmotionRecognizer, tmp_path: Path
) -> None:
    whole.save_pretrained(tmp_path)
    assert sorted(file.name for file in tmp_path.glob("*.safetensors")) == [
        "resnet18.safetensors",
        "resnet18_2.safetensors",
        "resnet18_bovw.safetensors",
        "resnet18_bovw_2.safetensors",
    ]
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    # onnxruntime and Keras, which resize faces for one member a little differently.
    np.testing.assert_allclose(
        loaded.predict_proba(FACES.images), whole.predict_proba(FACES.images), atol=1e-3
    )
    assert list(loaded.record.members) == ["resnet18"]
    assert loaded.record.members["resnet18"].history == tiny_recognizer.record.history


def test_fitted_weights_are_used_kept_and_told(
    members: list[EmotionRecognizer], tmp_path: Path
) -> None:
    whole = EmotionRecognizer.ensemble(members)
    assert whole.fit_weights(FACES, seed=np.int64(3)) is whole
    found = whole.record.ensemble_weights
    # Only one member has learnt anything.
    assert found.weights["resnet18"] == max(found.weights.values()) > 0.4
    assert found.members["resnet18"] == members[0].evaluate(FACES).accuracy
    assert (found.faces, found.seed) == (len(FACES), 3)
    assert whole.evaluate(FACES).accuracy == found.fitted >= found.mean
    shares = [network.weight for network in whole.config.networks]
    assert shares == list(found.weights.values())
    expected = np.tensordot(shares, [by_label(part, FACES.images) for part in members], 1)
    np.testing.assert_allclose(whole.predict_proba(FACES.images), expected, atol=2e-6)
    whole.save_pretrained(tmp_path)
    loaded = EmotionRecognizer.from_pretrained(tmp_path)
    assert loaded.record.ensemble_weights == found
    # onnxruntime and Keras, which resize faces for one member a little differently.
    np.testing.assert_allclose(
        loaded.predict_proba(FACES.images), whole.predict_proba(FACES.images), atol=1e-3
    )
    assert f"| resnet18 | {shares[0]:.4f} |" in (tmp_path / "README.md").read_text()


def test_weights_that_do_not_beat_the_mean_are_said_to_be_so(
    tiny_recognizer: EmotionRecognizer, caplog: pytest.LogCaptureFixture
) -> None:
    twice = EmotionRecognizer.ensemble([tiny_recognizer, tiny_recognizer]).fit_weights(FACES)
    assert not twice.record.ensemble_weights.beats_mean
    assert "do not beat the plain mean" in caplog.text


def test_what_can_not_be_an_ensemble_is_refused(tiny_recognizer: EmotionRecognizer) -> None:
    with pytest.raises(NotFittedError, match="has no weights yet"):
        EmotionRecognizer.ensemble([tiny_recognizer, EmotionRecognizer()])
    with pytest.raises(ConfigError, match="fit_weights needs an ensemble"):
        tiny_recognizer.fit_weights(FACES)
    other = random_tiny(0, labels=(*FER2013[:6], "contempt"))
    with pytest.raises(ConfigError, match=r"same labels: one has anger, .*, contempt"):
        EmotionRecognizer.ensemble([tiny_recognizer, other])
    whole = EmotionRecognizer.ensemble([tiny_recognizer, tiny_recognizer])
    with pytest.raises(DataError, match="5 or more faces"):
        whole.fit_weights((FACES.images[:3], FACES.classes[:3]))
    for seed in (-1, 2**32, 0.5, np.int64(-1)):
        with pytest.raises(ConfigError, match="fit_weights: seed must be a whole number"):
            whole.fit_weights(FACES, seed=seed)
    with pytest.raises(ConfigError, match=r"takes loaded recognizers, got '\./a'"):
        EmotionRecognizer.ensemble(["./a", "./b"])
    with pytest.raises(ConfigError, match="fit trains one network"):
        whole.fit(FACES, FACES)


def test_only_graphs_that_are_missing_are_made(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_graph = EmotionRecognizer.from_pretrained(tiny_folder)
    whole = EmotionRecognizer.ensemble([with_graph, random_tiny(1, face_size=(32, 40))])
    made = []

    def make(network: NetworkConfig, classes: int) -> None:
        made.append(network.name)

    monkeypatch.setattr("emonet.assembly.exports._export_graph", make)
    whole.save_pretrained(tmp_path)
    assert made == ["resnet18_2"]
    assert [file.name for file in tmp_path.glob("*.onnx")] == ["resnet18.onnx"]


def test_members_of_two_releases_of_a_plugin_share_an_extractor(
    members: list[EmotionRecognizer],
) -> None:
    parts = [
        EmotionRecognizer._of(released(member, version))
        for member, version in zip(members[1:3], ("0.1.0", "0.1.1"), strict=True)
    ]
    built = EmotionRecognizer.ensemble(parts)._sessions.ensemble
    first, second = (network.extractors["bovw"] for network in built.networks)
    assert first is second


def released(member: EmotionRecognizer, version: str) -> Model:
    (network,) = member.config.networks
    features = tuple(replace(part, distribution_version=version) for part in network.features)
    config = replace(member.config, networks=(replace(network, features=features),))
    return replace(member.model, config=config)


def test_faces_of_a_csv_file_reach_every_member_as_they_are(
    run: Run, whole: EmotionRecognizer, fer2013_csv: Path, tmp_path: Path
) -> None:
    large = EmotionRecognizer.ensemble([random_tiny(4, face_size=(64, 64)), whole])
    large.save_pretrained(tmp_path)
    command = ("evaluate", "--data", fer2013_csv, "--split", "PublicTest", "--model", tmp_path)
    (told,) = run(*command, "--json").records
    expected = EmotionRecognizer.from_pretrained(tmp_path).evaluate(
        load_dataset(fer2013_csv, "PublicTest")
    )
    assert told == json.loads(json.dumps(expected.to_dict()))


def test_the_command_makes_a_model_folder(
    run: Run, whole: EmotionRecognizer, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other", tmp_path / "whole"
    random_tiny(1, features=HOG).save_pretrained(other)
    command = ("ensemble", tiny_folder, other, "--data", fer2013_csv, "--out", out)
    (found,) = run(*command, "--json").records
    assert list(found["weights"]) == ["resnet18", "resnet18_bovw"]
    assert set(found) >= {"members", "mean", "fitted", "held_out", "log_loss", "faces", "seed"}
    recognizer = EmotionRecognizer.from_pretrained(out)
    validation = load_dataset(fer2013_csv, "PublicTest")
    assert recognizer.evaluate(validation).accuracy == found["fitted"]
    assert recognizer.record.command.startswith("emonet ensemble ")
    assert recognizer.record.evaluation["PublicTest"].accuracy == found["fitted"]
    refused = run(*command)
    assert (refused.status, refused.out) == (2, "")
    assert "holds a model already" in refused.err
    table = run("ensemble", tiny_folder, other, "--data", fer2013_csv, "--out", tmp_path / "b")
    assert "plain mean" in table.out
    assert json.loads((out / "config.json").read_text())["networks"][0]["weight"] > 0.4


def test_the_command_keeps_the_plain_mean_where_asked(
    run: Run, tiny_folder: Path, fer2013_csv: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other", tmp_path / "whole"
    random_tiny(1, features=HOG).save_pretrained(other)
    command = ("ensemble", tiny_folder, other, "--data", fer2013_csv, "--mean", "--out")
    (told,) = run(*command, out, "--json").records
    recognizer = EmotionRecognizer.from_pretrained(out)
    assert [network.weight for network in recognizer.config.networks] == [0.5, 0.5]
    assert recognizer.record.ensemble_weights is None
    assert recognizer.record.command.startswith("emonet ensemble ")
    assert recognizer.evaluate(load_dataset(fer2013_csv, "PublicTest")).accuracy == told["mean"]
    assert f"{told['mean']:.4f} on {told['faces']} faces" in run(*command, tmp_path / "b").out
