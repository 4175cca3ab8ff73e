"""The contract of every installed backbone, and the networks that are built around them."""

import random
from pathlib import Path

import keras
import numpy as np
import pytest

import emonet
from emonet import EmotionRecognizer, HeadConfig
from emonet.assembly.components import describe_network
from emonet.assembly.networks import build_network
from emonet.errors import ConfigError, PluginContractError, WeightsError
from emonet.network.fusion import keras_settings, set_mean_face
from emonet.network.network import KerasNetwork
from emonet.plugin import BackboneSpec
from emonet.registry import catalog as catalog_module
from emonet.registry.catalog import Catalog, Kind
from emonet.registry.discovery import LoadedPlugin, PluginInfo
from emonet.testing import Check, backbone_checks

#: Small settings, for quick tests. A backbone without an entry is tested with its defaults.
SMALL = {
    "densenet": {"growth_rate": 2, "layers_per_block": 2, "input_size": [16, 16]},
    "inception": {"width": 1, "input_size": [16, 16]},
    "resnet18": {"width": 4, "input_size": [16, 16]},
    "resnet50": {"input_size": [32, 32]},
    "inception_resnet_v2": {"input_size": [75, 75]},
    "vgg": {"width": 4, "input_size": [16, 16]},
}
#: The backbones for small faces, which have no pretrained weights.
FROM_SCRATCH = ("densenet", "inception", "resnet18", "vgg")
HOG = {"bovw": {"landmarks": False}}


CHECKS = {name: backbone_checks(name, **SMALL.get(name, {})) for name in emonet.list_backbones()}
#: What builds the largest once more, for seconds.
BUILDS_TWICE = {"names_its_weights_alike", "follows_the_seed", "takes_its_weights_back"}


def small(name: str) -> keras.Model:
    """Return the model that the checks have built; don't change it."""
    return CHECKS[name][0].subject.built


def pixels_for(model: keras.Model, count: int) -> np.ndarray:
    random_pixels = np.random.default_rng(0).uniform(0, 255, (count, *model.input_shape[1:]))
    return random_pixels.astype(np.float32)


def run(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    # Warnings are errors here: a model's own call must give none.
    return np.asarray(model(pixels, training=False))


def network_for(
    backbone: str = "resnet18", *, seed: int | None = 0, precision: str = "float32", **options
) -> KerasNetwork:
    """Build a network as EmotionRecognizer does."""
    options.setdefault("backbone_config", {"width": 4})
    config = EmotionRecognizer(backbone, **options).config
    return build_network(
        config.networks[0],
        num_classes=len(config.labels),
        precision=precision,
        seed=seed,
    )


def faces(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 48, 48), np.uint8)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            check,
            marks=[pytest.mark.slow]
            if name == "inception_resnet_v2" and check.rule.__name__ in BUILDS_TWICE
            else [],
        )
        for name, checks in CHECKS.items()
        for check in checks
    ],
    ids=str,
)
def test_a_backbone_keeps_the_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize(
    ("backbone", "key", "value"),
    [
        *[("resnet18", "width", value) for value in (0, -1, 257, 2.5, "32", True, None)],
        *[("resnet18", "stem_stride", value) for value in (0, 9, 1.5, None)],
        *[("resnet18", "input_size", value) for value in ([15, 48], [48], 48, [48, 48, 3], None)],
        *[
            ("resnet50", "input_size", value)
            for value in ([31, 32], [32, 31], [32, 1025], ["32", 32])
        ],
        *[("inception_resnet_v2", "input_size", value) for value in ([74, 75], [75, 74])],
        *[("vgg", "width", value) for value in (0, -1, 129, 2.5, "32", True, None)],
        *[
            (backbone, "dropout", value)
            for backbone in FROM_SCRATCH
            for value in (-0.1, 0.91, "0.2", True, None)
        ],
        *[("densenet", "growth_rate", value) for value in (0, 49, 1.5, None)],
        *[("densenet", "layers_per_block", value) for value in (0, 25, 1.5, None)],
        *[("inception", "width", value) for value in (0, 17, 1.5, None)],
        *[
            (backbone, "input_size", value)
            for backbone in ("densenet", "inception")
            for value in ([15, 48], [48, 257], None)
        ],
        *[("vgg", "input_size", value) for value in ([15, 44], [44, 257], [44], 44, None)],
    ],
)
def test_an_illegal_value_is_refused_by_name(backbone: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{backbone}: {key} must be"):
        emonet.create_backbone(backbone, **{key: value})


@pytest.mark.parametrize(
    ("backbone", "low", "high"),
    [
        ("resnet50", 23_587_712, 23_587_712),
        ("inception_resnet_v2", 54_336_736, 54_336_736),
    ],
)
def test_parameter_counts(backbone: str, low: int, high: int) -> None:
    assert low <= small(backbone).count_params() <= high


def test_resnet18_has_half_width_by_default() -> None:
    model = emonet.create_backbone("resnet18")
    assert model.input_shape == (None, 48, 48, 3)
    assert model.output_shape == (None, 256)
    assert 2_700_000 <= model.count_params() <= 2_900_000


def test_vgg_has_half_width_by_default() -> None:
    model = emonet.create_backbone("vgg")
    assert model.input_shape == (None, 44, 44, 3)
    assert model.output_shape == (None, 256)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [32, 32, 64, 64, 128, 128, 256, 256]
    assert 1_150_000 <= model.count_params() <= 1_200_000


def test_each_layer_of_densenet_adds_channels_and_each_transition_halves_them() -> None:
    model = emonet.create_backbone("densenet")
    assert model.input_shape == (None, 48, 48, 3)
    ends = [model.get_layer(f"block{block}_5").output.shape for block in range(4)]
    assert ends == [
        (None, 48, 48, 192),
        (None, 24, 24, 240),
        (None, 12, 12, 264),
        (None, 6, 6, 276),
    ]
    assert model.output_shape == (None, 276)
    stem, first, second = (
        model.get_layer(name).output for name in ("stem_conv", "block0_0_b_conv", "block0_0")
    )
    parts = keras.Model(model.inputs, [stem, first, second])
    before, added, joined = (np.asarray(part) for part in parts([pixels_for(model, 1)]))
    np.testing.assert_array_equal(joined, np.concatenate([before, added], axis=-1))
    assert 900_000 <= model.count_params() <= 1_000_000


def test_modules_of_inception_have_the_shares_of_the_paper() -> None:
    """Module 3a: 64, 128, 32 and 32 channels, from 1, 3, 5 pixels and pooling."""
    model = emonet.create_backbone("inception", width=16)
    ends = ("1x1", "3x3", "5x5_b", "pool")
    assert [model.get_layer(f"stage0_1_{end}_conv").filters for end in ends] == [64, 128, 32, 32]
    reduced = [model.get_layer(f"stage0_1_{name}_reduce_conv").filters for name in ("3x3", "5x5")]
    assert reduced == [96, 16]
    assert model.get_layer("stage0_1").output.shape == (None, 48, 48, 256)


def test_inception_pools_between_its_stages() -> None:
    model = emonet.create_backbone("inception")
    ends = [model.get_layer(f"stage{stage}_1").output.shape for stage in range(4)]
    assert ends == [(None, 48, 48, 64), (None, 24, 24, 128), (None, 12, 12, 256), (None, 6, 6, 512)]
    assert model.output_shape == (None, 512)
    assert 1_700_000 <= model.count_params() <= 1_800_000


@pytest.mark.parametrize("backbone", FROM_SCRATCH)
def test_small_backbones_see_through_brightness_and_contrast(backbone: str) -> None:
    model = small(backbone)
    pixels = pixels_for(model, 2)
    features = run(model, pixels)
    dimmed = run(model, pixels / 4 + 30)
    np.testing.assert_allclose(dimmed, features, atol=1e-3 * np.abs(features).max(), rtol=0)


@pytest.mark.parametrize(("stride", "side"), [(1, 48), (2, 24), (3, 16)])
def test_resnet18s_stem_shrinks_by_its_stride(stride: int, side: int) -> None:
    model = emonet.create_backbone("resnet18", width=4, stem_stride=stride)
    assert model.get_layer("stem_relu").output.shape == (None, side, side, 4)
    assert model.output_shape == (None, 32)


@pytest.mark.parametrize(
    ("side", "sides"), [(44, [44, 22, 11, 5]), (48, [48, 24, 12, 6]), (16, [16, 8, 4, 2])]
)
def test_vgg_pools_between_its_stages(side: int, sides: list[int]) -> None:
    model = emonet.create_backbone("vgg", width=4, input_size=[side, side])
    ends = [model.get_layer(f"stage{stage}_1_relu").output.shape for stage in range(4)]
    assert ends == [(None, side, side, 4 * 2**stage) for stage, side in enumerate(sides)]


@pytest.mark.parametrize("backbone", FROM_SCRATCH)
def test_dropout_behind_each_stage_is_for_training_alone(backbone: str) -> None:
    plain = small(backbone)
    dropping = emonet.create_backbone(backbone, **SMALL[backbone], dropout=0.5)
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in dropping.layers) == 4
    dropping.set_weights(plain.get_weights())
    pixels = pixels_for(plain, 2)
    np.testing.assert_array_equal(run(dropping, pixels), run(plain, pixels))
    first, second = (np.asarray(dropping(pixels, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize("backbone", ["resnet50", "inception_resnet_v2"])
def test_scaling_is_what_the_published_weights_expect(backbone: str) -> None:
    model = small(backbone)
    module = getattr(keras.applications, backbone)
    pixels = pixels_for(model, 2)
    scaled = keras.Model(model.inputs, model.get_layer("rescaling").output)([pixels])
    # preprocess_input changes its argument.
    expected = module.preprocess_input(pixels.copy())
    np.testing.assert_allclose(np.asarray(scaled), expected, atol=1e-4)


def test_scaling_is_written_out_as_it_is_meant() -> None:
    red = np.zeros((1, 32, 32, 3), np.float32)
    red[..., 0] = 255
    model = small("resnet50")
    scaled = keras.Model(model.inputs, model.get_layer("rescaling").output)([red])
    expected = [0 - 103.939, 0 - 116.779, 255 - 123.68]
    np.testing.assert_allclose(np.asarray(scaled)[0, 5, 7], expected, atol=1e-4)
    model = small("inception_resnet_v2")
    red = np.resize(red[0, 0, 0], (1, 75, 75, 3))
    scaled = keras.Model(model.inputs, model.get_layer("rescaling").output)([red])
    np.testing.assert_allclose(np.asarray(scaled)[0, 5, 7], [1, -1, -1], atol=1e-6)


@pytest.mark.parametrize("backbone", FROM_SCRATCH)
def test_small_backbones_have_no_pretrained_weights(backbone: str) -> None:
    with pytest.raises(ConfigError, match=f"{backbone} .*pretrained=False"):
        emonet.create_backbone(backbone, pretrained=True)


@pytest.mark.parametrize(
    "backbone", ["resnet50", pytest.param("inception_resnet_v2", marks=pytest.mark.slow)]
)
def test_pretrained_weights_that_cannot_be_fetched_say_what_to_do(
    backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise OSError("the network is unreachable")

    # Keras Applications' own name for keras.utils.get_file: it may find a cached file.
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    with pytest.raises(WeightsError) as raised:
        emonet.create_backbone(backbone, pretrained=True, **SMALL[backbone])
    message = str(raised.value)
    assert message.startswith(f"{backbone}: ")
    assert "the network is unreachable" in message
    assert "on a machine with a connection" in message
    assert "pretrained=False" in message


# Keras writes that format in a way that NumPy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    ("backbone", "constructor"),
    [
        ("resnet50", "ResNet50"),
        pytest.param("inception_resnet_v2", "InceptionResNetV2", marks=pytest.mark.slow),
    ],
)
def test_pretrained_weights_give_the_features_of_the_published_model(
    backbone: str, constructor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    shape = small(backbone).input_shape[1:]
    published = getattr(keras.applications, constructor)(
        include_top=False, weights=None, input_shape=shape, pooling="avg"
    )
    # The published files have this older format.
    file = tmp_path / "published_notop.h5"
    with h5py.File(file, "w") as group:
        legacy_h5_format.save_weights_to_hdf5_group(group, published)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(file))
    backbone_model = emonet.create_backbone(backbone, pretrained=True, **SMALL[backbone])
    pixels = pixels_for(backbone_model, 2)
    preprocess = getattr(keras.applications, backbone).preprocess_input
    expected = run(published, preprocess(pixels.copy()))
    features = run(backbone_model, pixels)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(features, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_building_leaves_global_settings_alone(precision: str) -> None:
    policy, state = keras.config.dtype_policy().name, random.getstate()
    numpy_state = np.random.get_state()[1].copy()
    network_for(precision=precision)
    assert keras.config.dtype_policy().name == policy
    assert keras.config.floatx() == "float32"
    assert random.getstate() == state
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_a_build_that_fails_leaves_global_settings_alone() -> None:
    policy, state = keras.config.dtype_policy().name, random.getstate()
    with pytest.raises(ConfigError):
        network_for(backbone_config={"width": 0}, precision="bfloat16")
    assert keras.config.dtype_policy().name == policy
    assert random.getstate() == state


def test_settings_hold_only_inside_the_block() -> None:
    with keras_settings(precision="bfloat16", seed=3):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        first = random.random()
    with keras_settings(precision="float32", seed=3):
        assert keras.config.dtype_policy().name == "float32"
        assert random.random() == first


def test_a_network_of_pixels_alone_has_one_input() -> None:
    network = network_for()
    assert [tensor.shape for tensor in network.model.inputs] == [(None, 48, 48)]
    assert network.model.output_shape == (None, 7)
    assert network.num_classes == 7
    assert network.extractors == {}


def test_a_network_with_hog_has_a_second_input() -> None:
    network = network_for(features=HOG)
    assert [tensor.shape for tensor in network.model.inputs] == [(None, 48, 48), (None, 2592)]
    assert [tensor.name for tensor in network.model.inputs] == ["faces", "bovw_vector"]
    assert network.model.get_layer("fused").output.shape == (None, 32 + 128)


@pytest.mark.parametrize(
    ("features", "precision"), [(HOG, "float32"), ({}, "bfloat16")], ids=["hog", "bfloat16"]
)
def test_rows_of_probabilities_are_float32_and_sum_to_1(features: dict, precision: str) -> None:
    network = network_for(features=features, precision=precision)
    assert network.model.output.dtype == "float32"
    vectors = [part.transform(faces(9)) for part in network.extractors.values()]
    probabilities = network.predict_proba(faces(9), vectors)
    assert probabilities.shape == (9, 7)
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_mixed_precision_computes_in_bfloat16_and_stores_float32() -> None:
    network = network_for(precision="bfloat16")
    stem = network.backbone.get_layer("stem_conv")
    assert stem.compute_dtype == "bfloat16"
    assert {str(array.dtype) for array in network.get_weights().values()} == {"float32"}
    scaling = network.backbone.layers[1]
    assert scaling.compute_dtype == "float32"


def test_hog_changes_the_probabilities() -> None:
    network = network_for(features=HOG)
    pixels = faces(1).astype(np.float32)
    first, second = (
        network.model.predict_on_batch([pixels, np.full((1, 2592), value, np.float32)])
        for value in (0, 1)
    )
    assert np.abs(first - second).max() > 1e-4


def test_the_head_is_as_deep_as_asked() -> None:
    network = network_for(features=HOG, head=HeadConfig(units=(20, 10), feature_units=16))
    assert network.model.get_layer("fused").output.shape == (None, 32 + 16)
    assert network.model.get_layer("head0_dense").output.shape == (None, 20)
    assert network.model.get_layer("head1_dense").output.shape == (None, 10)


def test_grey_faces_reach_the_backbone_as_rgb() -> None:
    network = network_for()
    rgb = keras.Model(network.model.inputs, network.model.get_layer("rgb").output)
    pixels = faces(2).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(rgb([pixels])), np.stack([pixels] * 3, axis=-1))


def test_faces_are_resized_to_what_the_backbone_takes() -> None:
    network = network_for(backbone_config={"width": 1, "input_size": [64, 40]})
    rgb = keras.Model(network.model.inputs, network.model.get_layer("rgb").output)
    resized = np.asarray(rgb([np.full((1, 48, 48), 200, np.float32)]))
    assert resized.shape == (1, 64, 40, 3)
    np.testing.assert_allclose(resized, 200, atol=1e-3)


def test_initial_weights_follow_from_the_seed() -> None:
    first, second, other = (
        network_for(features=HOG, seed=seed).get_weights() for seed in (5, 5, 6)
    )
    assert first.keys() == second.keys() == other.keys()
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key])
    assert any((array != other[key]).any() for key, array in first.items())


def test_the_mean_face_is_subtracted_and_saved_with_the_weights() -> None:
    images = faces(30) // 2
    network = network_for(subtract_mean_face=True)
    set_mean_face(network.model, images)
    weights = network.get_weights()
    (key,) = [key for key in weights if "mean_face" in key]
    mean = images.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(weights[key], mean, rtol=1e-6)

    rgb = keras.Model(network.model.inputs, network.model.get_layer("rgb").output)
    pixels = faces(2).astype(np.float32)
    expected = pixels - mean + mean.mean()
    np.testing.assert_allclose(np.asarray(rgb([pixels]))[..., 1], expected, atol=1e-3)

    other = network_for(subtract_mean_face=True, seed=9)
    other.set_weights(weights, where="test")
    np.testing.assert_array_equal(
        network.predict_proba(faces(3), []), other.predict_proba(faces(3), [])
    )


def test_a_network_that_subtracts_no_mean_face_stores_none() -> None:
    assert not [key for key in network_for().get_weights() if "mean_face" in key]


def unpooled() -> keras.Model:
    pixels = keras.Input((8, 8, 3))
    return keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels))


def grey_input() -> keras.Model:
    pixels = keras.Input((8, 8, 1))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))


def any_size() -> keras.Model:
    pixels = keras.Input((None, None, 3))
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))


def test_a_weights_file_that_nobody_would_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="resnet50: weights needs pretrained=True"):
        EmotionRecognizer("resnet50", backbone_config={"weights": "faces.h5"})
    EmotionRecognizer("resnet50", backbone_config={"weights": None})


@pytest.mark.parametrize("built", [unpooled, grey_input, any_size, lambda: None, lambda: "model"])
def test_a_build_that_returns_no_pooled_rgb_model_is_refused(
    built, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = BackboneSpec(
        name="acme_net", build=lambda config, *, pretrained: built(), input_size=(8, 8)
    )
    info = PluginInfo(name="acme", distribution="acme", version="1", module="acme")
    catalog = Catalog([LoadedPlugin(info, {Kind.BACKBONE: (spec,)})])
    monkeypatch.setattr(catalog_module, "_catalog", catalog)
    config = describe_network(
        *("acme_net", None, (), None),
        face_size=(48, 48), subtract_mean_face=False, pretrained=False,
    )  # fmt: skip
    with pytest.raises(
        PluginContractError, match=r"'acme_net' \(plugin 'acme' of acme 1\) must map"
    ):
        build_network(config, num_classes=7)
