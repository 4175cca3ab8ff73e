"""The ResNet-50 of keras-vggface, and the loader of its published file's format."""

from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

import emonet
from emonet.errors import ConfigError, HubError, ModelNotFoundError, WeightsError

SMALL = {"variant": "vggface2", "input_size": [40, 40]}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return emonet.create_backbone("resnet50", **SMALL)


def published_name(name: str) -> str:
    """What keras-vggface calls a layer: conv2_1_1x1_reduce_bn is conv2_1_1x1_reduce/bn."""
    name = name.replace("conv1_7x7_s2", "conv1/7x7_s2")
    return name.removesuffix("_bn") + "/bn" if name.endswith("_bn") else name


def write_keras2_file(path: Path, layers: dict[str, list[np.ndarray]], *, top: str = "") -> Path:
    """Write weights as Keras 2 did: groups by layer, names with slashes in attributes."""
    with h5py.File(path, "w") as file:
        root = file.create_group(top) if top else file
        names = ["input_1", *layers]
        root.attrs["layer_names"] = [name.encode() for name in names]
        root.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for name, arrays in layers.items():
            parts = (
                ("gamma", "beta", "moving_mean", "moving_variance") if len(arrays) == 4
                else ("kernel", "bias")
            )  # fmt: skip
            keys = [f"{name}/{part}:0" for part in parts[: len(arrays)]]
            group = root.require_group(name)
            group.attrs["weight_names"] = [key.encode() for key in keys]
            for key, array in zip(keys, arrays, strict=True):
                group.create_dataset(key, data=array)
    return path


def random_weights(model: keras.Model) -> dict[str, list[np.ndarray]]:
    """Random arrays of the right shapes by published name, in the order of keras-vggface."""
    random = np.random.default_rng(0)
    weighted = [layer for layer in model.layers if layer.weights]
    # There, a projection's convolution stands before the normalisation that it follows here.
    weighted.sort(key=lambda layer: (layer.name.rpartition("_1x1")[0], layer.name.endswith("_bn")))
    return {
        published_name(layer.name): [
            random.uniform(0.5, 1.5, weight.shape).astype(np.float32) * 0.1
            for weight in layer.weights
        ]
        for layer in weighted
    }


def test_it_has_the_size_of_the_published_network(model: keras.Model) -> None:
    """Counted from keras-vggface's own construction: 53 convolutions without bias."""
    assert model.count_params() == 23_561_152
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == 23_508_032
    assert len(model.weights) == 265
    assert len([layer for layer in model.layers if layer.weights]) == 106
    assert model.output_shape == (None, 2048)


def test_it_strides_and_pads_as_the_published_network() -> None:
    model = emonet.create_backbone("resnet50", variant="vggface2", input_size=[224, 224])
    sides = [layer.output.shape[1] for layer in model.layers if len(layer.output.shape) == 4]
    assert list(dict.fromkeys(sides)) == [224, 112, 55, 28, 14, 7]


def test_its_pixels_are_centred_on_the_mean_of_vggface2(model: keras.Model) -> None:
    rescaled = keras.Model(model.inputs, model.get_layer("rescaling").output)
    rgb = np.full((1, 40, 40, 3), (10.0, 20.0, 30.0), np.float32)
    blue_first = np.asarray(rescaled([rgb]))[0, 0, 0]
    np.testing.assert_allclose(blue_first, [30 - 91.4953, 20 - 103.8827, 10 - 131.0912], atol=1e-4)


@pytest.mark.parametrize("top", ["", "model_weights"])
def test_every_layer_is_filled_by_its_published_name(
    model: keras.Model, tmp_path: Path, top: str
) -> None:
    from emonet_resnet50.vggface2 import load_weights

    saved = random_weights(model)
    load_weights(model, write_keras2_file(tmp_path / "vggface.h5", saved, top=top))
    weighted = [layer for layer in model.layers if layer.weights]
    assert len(weighted) == len(saved) == 106
    for layer in weighted:
        for weight, array in zip(
            layer.get_weights(), saved[published_name(layer.name)], strict=True
        ):
            np.testing.assert_array_equal(weight, array)


def test_pretrained_weights_come_from_the_file_that_is_named(
    model: keras.Model, tmp_path: Path
) -> None:
    saved = random_weights(model)
    path = write_keras2_file(tmp_path / "vggface.h5", saved)
    filled = emonet.create_backbone("resnet50", pretrained=True, weights=str(path), **SMALL)
    (kernel,) = filled.get_layer("conv5_3_1x1_increase").get_weights()
    np.testing.assert_array_equal(kernel, saved["conv5_3_1x1_increase"][0])


def without(name: str) -> Callable[[dict], None]:
    return lambda layers: layers.pop(name)


def reshaped(layers: dict[str, list[np.ndarray]]) -> None:
    layers["conv2_1_3x3"] = [np.zeros((3, 3, 64, 65), np.float32)]


def with_bias(layers: dict[str, list[np.ndarray]]) -> None:
    layers["conv2_1_3x3"].append(np.zeros(64, np.float32))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("conv5_3_1x1_reduce/bn"), "for 105 of the 106 layers .* conv5_3_1x1_reduce_bn"),
        (lambda layers: layers.clear(), r"for 0 of the 106 layers .* \.\.\."),
        (reshaped, "conv2_1_3x3 has shapes .*65"),
        (with_bias, "conv2_1_3x3 has shapes"),
    ],
    ids=["missing layer", "nothing", "other shape", "too many arrays"],
)
def test_a_file_of_another_architecture_fills_nothing(
    model: keras.Model, tmp_path: Path, damage: Callable[[dict], None], message: str
) -> None:
    from emonet_resnet50.vggface2 import load_weights

    layers = random_weights(model)
    damage(layers)
    path = write_keras2_file(tmp_path / "other.h5", layers)
    before = model.get_weights()
    with pytest.raises(WeightsError, match=message):
        load_weights(model, path)
    for weight, array in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, array)


def test_what_is_no_weights_file_is_said_so(model: keras.Model, tmp_path: Path) -> None:
    from emonet_resnet50.vggface2 import load_weights

    text = tmp_path / "readme.h5"
    text.write_text("no HDF5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    for path in (text, tmp_path / "empty.h5"):
        with pytest.raises(WeightsError, match="is not a Keras weights file"):
            load_weights(model, path)


def test_weights_that_can_not_be_had_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emonet_resnet50 import vggface2

    assert vggface2.PUBLISHED.startswith("https://github.com/rcmalli/keras-vggface/")
    monkeypatch.setattr(vggface2, "PUBLISHED", "http://127.0.0.1:9/notop.h5")
    with pytest.raises(HubError, match=r"Download notop\.h5 .* pass its path as weights"):
        emonet.create_backbone("resnet50", pretrained=True, **SMALL)
    with pytest.raises(ModelNotFoundError, match="no file"):
        emonet.create_backbone("resnet50", pretrained=True, weights=str(tmp_path / "no"), **SMALL)


def test_another_variant_is_refused() -> None:
    with pytest.raises(ConfigError, match="variant must be one of 'imagenet', 'vggface2'"):
        emonet.create_backbone("resnet50", variant="vggface")
