"""Explanations of real models: exact maps, regions, drawings, and what can't be explained so."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from tests.conftest import make_faces
from tests.integration.conftest import Run, offering
from tests.integration.recognizers import with_random_weights

from emonet import Detection, EmotionRecognizer, load_image
from emonet.errors import ConfigError, ImageNotFoundError, NotFittedError
from emonet.explain.regions import REGIONS
from emonet.plugin import BackboneSpec, Box
from emonet.registry.catalog import Kind

FACES = make_faces(2).images


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def tiny() -> EmotionRecognizer:
    return EmotionRecognizer.from_pretrained("tiny")


@pytest.mark.parametrize("model", ["tiny", "fast"])
def test_the_mean_of_a_map_is_the_logit(model):
    recognizer = EmotionRecognizer.from_pretrained(model)
    maps = recognizer.activation_maps(FACES)
    assert maps.shape == (14, 7, 48, 48)
    assert maps.dtype == np.float32
    probabilities = softmax(maps.mean(axis=(2, 3), dtype=np.float64))
    assert np.abs(probabilities - recognizer.predict_proba(FACES)).max() < 1e-5
    assert recognizer.activation_maps(FACES[:0]).shape == (0, 7, 48, 48)


def test_views_are_turned_back_before_they_are_averaged(tiny):
    flipped = tiny.with_test_time_augmentation("horizontal_flip").activation_maps(FACES)
    other = tiny.activation_maps(FACES[:, :, ::-1])[..., ::-1]
    assert np.abs(flipped - (tiny.activation_maps(FACES) + other) / 2).max() < 1e-4


def test_a_smile_speaks_for_happiness_and_against_fear(astronaut, tiny):
    explanation = tiny.explain(astronaut, method="occlusion", masks=200)
    (face,) = explanation.faces
    assert face.label == "happiness"
    assert face.map.shape == face.crop.pixels.shape == (48, 48)
    regions = face.regions()
    assert tuple(regions) == REGIONS
    assert sum(regions.values()) == pytest.approx(1)
    assert max(regions, key=regions.__getitem__) == "mouth"
    (fear,) = tiny.explain(astronaut, "fear", method="occlusion", masks=200).faces
    assert fear.label == "fear"
    assert np.corrcoef(fear.map.ravel(), face.map.ravel())[0, 1] < -0.5


def test_maps_of_all_labels_cancel_out(astronaut, tiny):
    maps = [tiny.explain(astronaut, label).faces[0].map for label in tiny.labels]
    assert np.abs(sum(maps)).max() < 1e-4
    assert max(float(one.mean()) for one in maps) == float(
        tiny.explain(astronaut).faces[0].map.mean()
    )


def test_an_explanation_is_plain_json(astronaut, tiny):
    explanation = tiny.explain(str(astronaut))
    found = json.loads(json.dumps(explanation.to_dict()))
    assert found["path"] == str(astronaut)
    assert (found["width"], found["height"], found["method"]) == (400, 400, "cam")
    (face,) = found["faces"]
    assert face["explained"] == face["label"] == "happiness"
    assert np.abs(np.array(face["map"]) - explanation.faces[0].map).max() < 1e-4
    assert face["regions"] == explanation.faces[0].regions()
    assert tiny.explain(load_image(astronaut)).path is None


def test_the_heat_map_colours_the_face_only(astronaut, tiny):
    photo = load_image(astronaut).copy()
    explanation = tiny.explain(photo, method="occlusion", masks=100)
    drawn = np.asarray(explanation.draw()).astype(int)
    assert (explanation.image == load_image(astronaut)).all()
    (face,) = explanation.faces
    reddest = np.unravel_index(face.map.argmax(), face.map.shape)
    x, y = np.rint(face.crop.to_image @ [reddest[1], reddest[0], 1]).astype(int)
    assert drawn[y, x, 0] - photo[y, x, 0] > drawn[y, x, 2] - photo[y, x, 2] + 50
    assert (drawn[250:] == photo[250:]).all()
    assert (drawn[:, 250:] == photo[:, 250:]).all()


def test_a_photo_without_faces_has_no_explanations(tiny):
    explanation = tiny.explain(np.full((90, 120, 3), 128, np.uint8))
    assert explanation.faces == ()
    assert explanation.draw().size == (120, 90)
    assert explanation.to_dict()["faces"] == []


def test_crops_tell_where_they_lie(astronaut, tiny):
    photo = load_image(astronaut)
    # Larger than the face's crop, so that pixels of the crop are means of pixels of the photo.
    (crop,) = tiny.crop_faces(photo, [Detection(Box(100, 60, 144, 144), framed=True)])
    columns, rows = np.meshgrid(range(48), range(48))
    places = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ crop.to_image.T
    assert np.allclose(places[0, 0], [101, 61])
    assert np.allclose(places[-1, -1], [242, 202])
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    means = grey[60:204, 100:244].reshape(48, 3, 48, 3).mean(axis=(1, 3))
    assert np.abs(crop.pixels - means).max() <= 1.5
    # Half of this crop lies outside the photo.
    (outside,) = tiny.crop_faces(photo, [Detection(Box(-24, -24, 48, 48), framed=True)])
    assert np.allclose(outside.to_image @ [24, 24, 1], [0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "hapiness"}, "No label 'hapiness'"),
        ({"method": "lime"}, "'cam' or 'occlusion' or 'features'"),
        ({"masks": 0}, "masks"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_read(tiny, arguments, message):
    with pytest.raises(ConfigError, match=message):
        tiny.explain("missing.jpg", **arguments)


def test_a_missing_photo_is_named(tiny):
    with pytest.raises(ImageNotFoundError, match="missing"):
        tiny.explain("missing.jpg")
    with pytest.raises(NotFittedError):
        EmotionRecognizer().activation_maps(FACES)


def test_random_weights_give_another_map():
    """The sanity check of Adebayo et al. 2018: maps depend on what the network has learnt.

    All faces have much the same map in one shuffled network, which may be like the trained one by
    chance: the correlation has a standard deviation of 0.26. So the mean is over several shuffles.
    """
    fast = EmotionRecognizer.from_pretrained("fast")
    few = FACES[::2]
    chosen = fast.predict_proba(few).argmax(axis=1)

    def maps(recognizer: EmotionRecognizer, faces: np.ndarray) -> np.ndarray:
        return recognizer.activation_maps(faces)[np.arange(len(faces)), chosen]

    def similarity(others: np.ndarray) -> float:
        pairs = zip(trained, others, strict=True)
        return np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs])

    trained = maps(fast, few)
    noise = np.random.default_rng(0).integers(-3, 4, few.shape)
    noisy = (few.astype(int) + noise).clip(0, 255).astype(np.uint8)
    assert similarity(maps(fast, noisy)) > 0.9
    shuffled = [similarity(maps(_shuffled(fast, seed), few)) for seed in range(8)]
    assert abs(np.mean(shuffled)) < 0.3


def _shuffled(recognizer: EmotionRecognizer, seed: int) -> EmotionRecognizer:
    """Return the recognizer with the values of each kernel in random order."""
    random = np.random.default_rng(seed)
    weights = {
        network: {
            name: random.permutation(array.ravel()).reshape(array.shape)
            if name.endswith("kernel")
            else array
            for name, array in arrays.items()
        }
        for network, arrays in recognizer.weights.items()
    }
    return EmotionRecognizer._of(replace(recognizer.model, weights=weights))


def flat_backbone(config, *, pretrained):
    pixels = keras.Input((48, 48, 3))
    x = keras.layers.Conv2D(4, 5, strides=8, activation="relu")(pixels)
    return keras.Model(pixels, keras.layers.Flatten()(x))


def test_occlusion_explains_networks_that_have_no_activation_maps():
    spec = BackboneSpec(name="flat", build=flat_backbone, input_size=(48, 48))
    bovw = {"bovw": {"landmarks": False}}
    with offering(Kind.BACKBONE, spec):
        for features, reason in (((), "global average pooling"), (bovw, "extractor bovw")):
            recognizer = with_random_weights(
                EmotionRecognizer("flat", features, detector="whole_image")
            )
            with pytest.raises(ConfigError, match=f"{reason}.*method='occlusion'"):
                recognizer.explain(FACES[0])
            (face,) = recognizer.explain(FACES[0], method="occlusion", masks=16).faces
            assert face.map.any()
            assert np.isfinite(face.map).all()


@pytest.mark.slow
def test_a_network_that_keras_runs_is_exported_for_its_maps(tiny_recognizer):
    assert set(tiny_recognizer.runtimes.values()) == {"keras"}
    maps = tiny_recognizer.activation_maps(FACES)
    probabilities = softmax(maps.mean(axis=(2, 3), dtype=np.float64))
    assert np.abs(probabilities - tiny_recognizer.predict_proba(FACES)).max() < 1e-4


def test_the_command_writes_a_picture_and_prints_regions(astronaut, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "emonet", "explain", str(astronaut)]
    command += ["--model", "tiny", "--label", "fear", "--out", "why.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "mouth" in done.stdout
    assert "fear" in done.stdout
    assert load_image(tmp_path / "why.png").shape == (400, 400, 3)
    assert "tensorflow" not in done.stderr


def test_the_command_prints_json_and_names_what_is_wrong(run: Run, astronaut, tmp_path):
    out = tmp_path / "why.png"
    done = run("explain", astronaut, "--model", "tiny", "--out", out, "--json")
    assert done.status == 0, done.err
    (found,) = done.records
    assert found["faces"][0]["explained"] == "happiness"
    photo = tmp_path / "photo.png"
    Image.fromarray(load_image(astronaut)).save(photo)
    before = photo.read_bytes()
    for arguments, message in (
        ((photo, "--out", photo), "is the input"),
        ((photo, "--out", tmp_path / "why.jpg"), "must end in .png"),
        ((photo, "--out", out, "--label", "x"), "No label 'x'"),
    ):
        done = run("explain", *arguments, "--model", "tiny")
        assert done.status == 2
        assert message in done.err
    assert photo.read_bytes() == before
    Image.new("RGB", (64, 64)).save(photo)
    done = run("explain", photo, "--model", "tiny", "--out", out)
    assert (done.status, done.out) == (0, "no face\n")


def test_paths_may_be_paths(astronaut, tiny):
    assert tiny.explain(Path(astronaut)).path == str(astronaut)
