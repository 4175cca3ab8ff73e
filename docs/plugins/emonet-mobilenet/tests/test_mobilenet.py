"""Test emonet's contract and the loading of weights."""

import keras
import numpy as np
import pytest
from emonet_mobilenet import weights as weights_module
from safetensors.numpy import save_file

from emonet import create_backbone
from emonet.errors import ConfigError, ModelNotFoundError, WeightsError
from emonet.testing import backbone_checks

SMALL = {"input_size": [32, 32], "alpha": 0.25}


@pytest.mark.parametrize("check", backbone_checks("mobilenet", **SMALL), ids=str)
def test_backbone(check):
    check()


@pytest.fixture(scope="module")
def published():
    """Return a network like a trained one: its statistics differ from 0 and 1."""
    network = keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None, pooling="avg"
    )
    random = np.random.default_rng(0)
    network.set_weights([w + random.uniform(0, 0.1, w.shape) for w in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def hdf5(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "faces.weights.h5"
    published.save_weights(path)
    return path


@pytest.fixture(scope="module")
def safetensors(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "faces.safetensors"
    save_file({w.path: keras.ops.convert_to_numpy(w) for w in published.weights}, path)
    return path


def build(path, **config):
    return create_backbone("mobilenet", pretrained=True, **{**SMALL, **config}, weights=str(path))


@pytest.mark.parametrize("file", ["hdf5", "safetensors"])
def test_a_file_gives_the_features_of_the_network_that_wrote_it(file, published, request):
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    bgr = pixels[..., ::-1] - [103.939, 116.779, 123.68]
    expected = np.asarray(published(bgr.astype(np.float32), training=False))
    features = np.asarray(build(request.getfixturevalue(file))(pixels, training=False))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_loaded_statistics_hold_in_training_too(hdf5):
    pixels = np.random.default_rng(1).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    model = build(hdf5)
    before = model.get_weights()
    trained = np.asarray(model(pixels, training=True))
    np.testing.assert_array_equal(trained, np.asarray(model(pixels, training=False)))
    assert all(map(np.array_equal, before, model.get_weights()))
    # Without a file, training updates the statistics.
    fresh = create_backbone("mobilenet", **SMALL)
    learning = np.asarray(fresh(pixels, training=True))
    assert not np.array_equal(learning, np.asarray(fresh(pixels, training=False)))


def test_weights_have_the_same_names_with_and_without_a_file(hdf5):
    paths = [
        [w.path for w in m.weights] for m in (build(hdf5), create_backbone("mobilenet", **SMALL))
    ]
    assert paths[0] == paths[1]


def test_every_layer_that_is_not_filled_is_named(published, tmp_path):
    stored = {weight.path: keras.ops.convert_to_numpy(weight) for weight in published.weights}
    del stored["conv1/kernel"]
    stored["conv_pw_3_bn/beta"] = stored["conv_pw_3_bn/beta"][1:]
    stored["conv_dw_5/kernel"] = np.full_like(stored["conv_dw_5/kernel"], np.nan)
    save_file(stored, tmp_path / "faces.safetensors")
    with pytest.raises(WeightsError, match=r"3 of 54 layers: conv1, conv_pw_3_bn, conv_dw_5\. "):
        build(tmp_path / "faces.safetensors")


def test_a_file_of_another_alpha_is_refused(hdf5):
    with pytest.raises(WeightsError, match="with the same alpha"):
        build(hdf5, alpha=0.5)


@pytest.mark.parametrize("name", ["faces.weights.h5", "faces.safetensors"])
def test_a_file_of_another_kind_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"not a weights file")
    with pytest.raises(WeightsError, match="is not a"):
        build(tmp_path / name)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match="There is no file"):
        build(tmp_path / "missing.weights.h5")


def test_a_known_name_needs_the_known_content(hdf5, tmp_path, monkeypatch):
    monkeypatch.setitem(weights_module.KNOWN, hdf5.name, "0" * 64)
    with pytest.raises(WeightsError, match="expected 000"):
        build(hdf5)


def test_pretrained_without_a_file_says_how_to_get_one():
    with pytest.raises(ConfigError, match="Name a file in the setting 'weights'"):
        create_backbone("mobilenet", pretrained=True, **SMALL)


@pytest.mark.parametrize(
    ("key", "value"),
    [("alpha", 0), ("alpha", "1"), ("input_size", [31, 32]), ("input_size", 32)],
)
def test_an_illegal_setting_is_named(key, value):
    with pytest.raises(ConfigError, match=f"mobilenet: {key} must be"):
        create_backbone("mobilenet", **{key: value})
