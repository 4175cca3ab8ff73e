"""Explanations of BOVW's landmarks and HOG windows: networks whose reasons are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import make_faces
from tests.integration.recognizers import with_random_weights

from emonet import EmotionRecognizer, FeatureEffect, load_image
from emonet.errors import ConfigError

HOG, BOTH = {"bovw": {"landmarks": False}}, {"bovw": {}}
WINDOW, LANDMARK = "window 2, 3", "landmark 30"
FACES = make_faces(1).images


def sees_only(features: dict, start: int, count: int, mean: float = 0.0) -> EmotionRecognizer:
    """Return a network that looks at ``count`` values of BOVW's vector from ``start`` on."""
    recognizer = with_random_weights(
        EmotionRecognizer("resnet18", features, detector="yunet", backbone_config={"width": 8})
    )
    ((network, weights),) = recognizer.weights.items()
    weights = dict(weights)
    seen = np.zeros_like(weights["head/bovw_dense/kernel"])
    seen[start : start + count] = 0.3 * np.random.default_rng(0).normal(size=(count, seen.shape[1]))
    weights["head/bovw_dense/kernel"] = seen
    weights["head/bovw_standardised/moving_mean"] = np.full(
        len(seen), mean, weights["head/bovw_standardised/moving_mean"].dtype
    )
    output = weights["head/probabilities/kernel"].copy()
    output[: len(output) - seen.shape[1]] = 0  # the backbone
    weights["head/probabilities/kernel"] = output
    return EmotionRecognizer._of(replace(recognizer.model, weights={network: weights}))


@pytest.fixture(scope="module")
def one_window() -> EmotionRecognizer:
    # Five windows of a row have 9 cells, the two at the right edge 6 and 3.
    before = 2 * (5 * 9 + 6 + 3) + 3 * 9
    return sees_only(HOG, 8 * before, 8 * 9)


def by_name(effects: tuple[FeatureEffect, ...]) -> dict[str, FeatureEffect]:
    assert {effect.extractor for effect in effects} == {"bovw"}
    return {effect.name: effect for effect in effects}


def test_the_window_that_the_network_sees_is_found(one_window):
    found = one_window.feature_effects(FACES)
    assert len(found) == len(FACES)
    for effects in map(by_name, found):
        assert len(effects) == 49
        assert tuple(effects[WINDOW].box) == (18, 12, 24, 24)
        largest = {name: max(map(abs, one.effects.values())) for name, one in effects.items()}
        assert largest.pop(WINDOW) > 0.01
        assert max(largest.values()) < 1e-6
        assert abs(sum(effects[WINDOW].effects.values())) < 1e-5


def test_an_effect_is_the_probability_that_a_mean_window_would_change(one_window):
    (network,) = one_window._sessions.ensemble.networks
    vector = network.extractors["bovw"].transform(FACES[:1])
    whole = network.predict_proba(FACES[:1], [vector])
    np.testing.assert_allclose(whole, one_window.predict_proba(FACES[:1]), atol=1e-6)
    without = network.predict_proba(FACES[:1], [np.zeros_like(vector)])
    effect = by_name(one_window.feature_effects(FACES[:1])[0])[WINDOW]
    assert list(effect.effects) == list(one_window.labels)
    np.testing.assert_allclose(list(effect.effects.values()), (whole - without)[0], atol=1e-6)


def test_an_average_window_has_no_effect():
    black = np.zeros((1, 48, 48), np.uint8)
    (effects,) = sees_only(HOG, 0, 2592).feature_effects(black)
    assert max(abs(value) for one in effects for value in one.effects.values()) == 0
    (effects,) = sees_only(HOG, 0, 2592, mean=0.5).feature_effects(black)
    assert min(max(map(abs, one.effects.values())) for one in effects) > 1e-6


def test_the_landmark_that_the_network_sees_is_found_where_it_is(astronaut):
    recognizer = sees_only(BOTH, 2 * 30, 2, mean=24)
    explanation = recognizer.explain(astronaut, method="features")
    (face,) = explanation.faces
    effects = by_name(face.features)
    assert len(effects) == 68 + 49
    largest = {name: max(map(abs, one.effects.values())) for name, one in effects.items()}
    assert largest.pop(LANDMARK) > 0.01
    assert max(largest.values()) < 1e-6
    # The tip of the nose, which the detector knows too.
    box = effects[LANDMARK].box
    assert (box.width, box.height) == (0, 0)
    found = face.crop.to_image @ (box.x - 0.5, box.y - 0.5, 1)
    nose = face.face.detection.landmarks[2]
    assert np.hypot(*(found - nose)) < 0.12 * face.face.box.width
    row, column = np.argwhere(np.abs(face.map) > 1e-6)[0]
    assert (row, column) == (int(box.y), int(box.x))
    x, y = np.rint(found).astype(int)
    photo = load_image(astronaut)
    drawn = np.asarray(explanation.draw()).astype(int)
    red_or_blue = 0 if effects[LANDMARK].effects[face.label] > 0 else 2
    assert drawn[y, x, red_or_blue] > 200 > drawn[y, x, 1]
    assert (drawn[250:] == photo[250:]).all()


def test_an_explanation_has_the_features_map_regions_and_drawing(one_window, astronaut):
    photo = load_image(astronaut).copy()
    explanation = one_window.explain(photo, "fear", method="features")
    (face,) = explanation.faces
    (window,) = [one for one in face.features if one.name == WINDOW]
    effect = window.effects["fear"]
    assert face.map.sum() == pytest.approx(effect, rel=1e-3)
    assert face.map[12:36, 18:42] == pytest.approx(effect / 576, rel=1e-3)
    found = json.loads(json.dumps(explanation.to_dict()))
    assert found["method"] == "features"
    listed = {one["name"]: one for one in found["faces"][0]["features"]}
    assert listed[WINDOW] == {
        "extractor": "bovw", "name": WINDOW, "box": [18, 12, 24, 24], "effect": effect
    }  # fmt: skip
    drawn = np.asarray(explanation.draw()).astype(int)
    x, y = np.rint(face.crop.to_image @ (30, 24, 1)).astype(int)
    change = drawn[y, x] - photo[y, x]
    assert np.sign(change[0] - change[2]) == np.sign(effect)
    assert one_window.explain(photo, method="occlusion", masks=4).faces[0].features == ()


def test_members_of_an_ensemble_hide_the_same_part_together(one_window):
    other = sees_only(HOG, 0, 2592)
    both = EmotionRecognizer.ensemble([one_window, other])
    parts = [by_name(one.feature_effects(FACES[:1])[0]) for one in (both, one_window, other)]
    for name in (WINDOW, "window 0, 0"):
        together, *each = (list(effects[name].effects.values()) for effects in parts)
        np.testing.assert_allclose(together, np.mean(each, axis=0), atol=1e-6)


def test_networks_without_parts_are_refused(astronaut):
    tiny = EmotionRecognizer.from_pretrained("tiny")
    with pytest.raises(ConfigError, match=r"no feature extractor.*method='occlusion'"):
        tiny.explain(astronaut, method="features")
    assert tiny.explain(np.full((90, 120, 3), 9, np.uint8), method="features").faces == ()
