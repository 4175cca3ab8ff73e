"""Feature vectors of a data set: computed once and kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import make_faces

from emonet import EmotionRecognizer, Phase, Recipe
from emonet.assembly.networks import build_ensemble, build_network
from emonet.config import NetworkConfig
from emonet.model import Model
from emonet.network.network import KerasNetwork
from emonet.training import features
from emonet.training.features import extract_all

pytestmark = pytest.mark.usefixtures("mini_backbone")

HOG = {"bovw": {"landmarks": False}}
FACES = make_faces(3).images
RECIPE = Recipe(name="mini", phases=(Phase(epochs=1, learning_rate=0.01),), batch_size=14)


@pytest.fixture(scope="module")
def built(mini_backbone: None) -> tuple[KerasNetwork, NetworkConfig]:
    config = EmotionRecognizer("mini", HOG, detector="whole_image").config.networks[0]
    return build_network(config, num_classes=7), config


@pytest.fixture
def transformed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many faces each call of the extractor got, from now on."""
    from emonet_bovw.extractor import Bovw

    transform, calls = Bovw.transform, []
    monkeypatch.setattr(
        Bovw, "transform", lambda self, faces: calls.append(len(faces)) or transform(self, faces)
    )
    monkeypatch.setattr(features, "CHUNK_FACES", 8)
    return calls


def test_kept_vectors_are_the_extractors_own_and_computed_once(
    built: tuple[KerasNetwork, NetworkConfig], transformed: list[int], tmp_path: Path
) -> None:
    expected = built[0].extractors["bovw"].transform(FACES)
    transformed.clear()
    for _ in range(2):
        (vectors,) = extract_all(*built, FACES, tmp_path / "cache", "test")
        np.testing.assert_array_equal(vectors, expected)
    assert transformed == [8, 8, 5]
    (vectors,) = extract_all(*built, FACES, None, "test")
    np.testing.assert_array_equal(vectors, expected)


def test_what_was_finished_when_a_run_died_is_not_computed_again(
    built: tuple[KerasNetwork, NetworkConfig],
    transformed: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from emonet_bovw.extractor import Bovw

    transform = Bovw.transform

    def dying(self: Bovw, faces: np.ndarray) -> np.ndarray:
        if len(transformed) == 2:
            raise KeyboardInterrupt
        return transform(self, faces)

    with monkeypatch.context() as patch:
        patch.setattr(Bovw, "transform", dying)
        with pytest.raises(KeyboardInterrupt):
            extract_all(*built, FACES, tmp_path, "test")
    assert transformed == [8, 8]
    extract_all(*built, FACES, tmp_path, "test")
    assert transformed == [8, 8, 5]


def test_other_faces_and_other_settings_have_vectors_of_their_own(
    built: tuple[KerasNetwork, NetworkConfig], transformed: list[int], tmp_path: Path
) -> None:
    network, config = built
    extract_all(network, config, FACES[:8], tmp_path, "test")
    changed = FACES[:8].copy()
    changed[0, 0, 0] ^= 1
    extract_all(network, config, changed, tmp_path, "test")
    newer = replace(config.features[0], distribution_version="99")
    extract_all(network, replace(config, features=(newer,)), FACES[:8], tmp_path, "test")
    assert transformed == [8, 8, 8]


def test_another_state_has_vectors_of_its_own(
    built: tuple[KerasNetwork, NetworkConfig],
    transformed: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from emonet_bovw.extractor import Bovw

    for words in (np.zeros((2, 3)), np.ones((2, 3)), np.ones((3, 2))):
        monkeypatch.setattr(Bovw, "get_state", lambda self, words=words: {"words": words})
        extract_all(*built, FACES[:8], tmp_path, "test")
        extract_all(*built, FACES[:8], tmp_path, "test")
    assert transformed == [8, 8, 8]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: np.save(file, np.zeros((8, 3), np.float32)),
        lambda file: np.save(file, np.array([{"pickled": 1}]), allow_pickle=True),
    ],
    ids=["empty", "truncated", "other shape", "pickled"],
)
def test_a_damaged_file_is_written_anew(
    built: tuple[KerasNetwork, NetworkConfig],
    transformed: list[int],
    tmp_path: Path,
    damage: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (expected,) = extract_all(*built, FACES[:8], tmp_path, "test")
    (file,) = tmp_path.iterdir()
    damage(file)
    for _ in range(2):
        (vectors,) = extract_all(*built, FACES[:8], tmp_path, "test")
        np.testing.assert_array_equal(vectors, expected)
    assert transformed == [8, 8]
    assert str(file) in caplog.text


def test_a_place_that_can_not_be_written_ends_nothing(
    built: tuple[KerasNetwork, NetworkConfig], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    (vectors,) = extract_all(*built, FACES[:8], taken, "test")
    expected = built[0].extractors["bovw"].transform(FACES[:8])
    np.testing.assert_array_equal(vectors, expected)
    assert "Can't write the cache file" in caplog.text


def test_vectors_are_standardised_by_their_own_statistics_from_the_start(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer("mini", HOG, detector="whole_image")
    recognizer.fit(make_faces(8), make_faces(1), recipe=RECIPE, feature_cache=tmp_path)
    vectors = np.load(min(tmp_path.iterdir(), key=lambda file: file.stat().st_mtime))
    weights = recognizer.weights["mini_bovw"]
    # Four steps of momentum 0.99 on mirrored and rotated faces move them little.
    mean, variance = (
        weights[f"head/bovw_standardised/moving_{name}"] for name in ("mean", "variance")
    )
    np.testing.assert_allclose(mean, vectors.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(variance, vectors.var(axis=0), atol=0.02)


def test_fit_finds_features_again(transformed: list[int], tmp_path: Path) -> None:
    def fit() -> EmotionRecognizer:
        recognizer = EmotionRecognizer("mini", HOG, detector="whole_image")
        train, valid = make_faces(2), make_faces(1, seed=1)
        return recognizer.fit(train, valid, recipe=RECIPE, feature_cache=tmp_path)

    first = fit()
    # The training faces, their mirror images, and the validation faces.
    assert sum(transformed) == 14 + 14 + 7
    transformed.clear()
    second = fit()
    assert transformed == []
    np.testing.assert_array_equal(first.predict_proba(FACES), second.predict_proba(FACES))


@pytest.mark.parametrize(("states", "alike"), [((1, 1), True), ((1, 2), False)])
def test_members_share_an_extractor_with_the_same_state(
    states: tuple[int, int], alike: bool, built: tuple[KerasNetwork, NetworkConfig]
) -> None:
    network, part = built
    parts = tuple(replace(part, name=name) for name in ("one", "other"))
    config = EmotionRecognizer("mini", HOG, detector="whole_image").config
    weights = {
        part.name: {**network.get_weights(), "features/bovw/words": np.array([state])}
        for part, state in zip(parts, states, strict=True)
    }
    model = Model(config=replace(config, networks=parts), weights=weights)
    one, other = build_ensemble(model).networks
    assert (one.extractors["bovw"] is other.extractors["bovw"]) is alike
