"""Training normalises batches by TensorFlow's kernel, with what Keras's own layer would give."""

from contextlib import nullcontext

import numpy as np
import pytest

from emonet.training.normalisation import fused_normalisation


def small_model(dtype="float32", **options):
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(8, 3, dtype=dtype)(pixels)
    x = keras.layers.BatchNormalization(momentum=0.9, dtype=dtype, name="bn", **options)(x)
    x = keras.layers.GlobalMaxPooling2D(dtype=dtype)(x)
    return keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(x))


def trained(model, *, fused):
    import keras

    random = np.random.default_rng(0)
    pixels = random.normal(3, 5, (64, 12, 12, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[random.integers(0, 3, 64)]
    model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
    with fused_normalisation(model) if fused else nullcontext():
        model.fit(pixels, targets, batch_size=32, epochs=3, shuffle=False, verbose=0)
    return model.get_weights()


def operations(model):
    import tensorflow as tf

    run = tf.function(lambda pixels: model(pixels, training=True))
    graph = run.get_concrete_function(tf.TensorSpec((4, 12, 12, 3)))
    return {operation.type for operation in graph.graph.get_operations()}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("mixed_bfloat16", 5e-3)])
def test_it_trains_as_keras_does(dtype, tolerance):
    plain = trained(small_model(dtype), fused=False)
    for fused, expected in zip(trained(small_model(dtype), fused=True), plain, strict=True):
        np.testing.assert_allclose(fused, expected, atol=tolerance)


def test_one_operation_takes_the_place_of_many():
    model = small_model()
    plain = operations(model)
    with fused_normalisation(model):
        fused = operations(model)
    assert "FusedBatchNormV3" in fused - plain
    assert "SquaredDifference" in plain - fused
    assert operations(model) == plain


def test_a_variable_turns_it_off(monkeypatch):
    monkeypatch.setenv("EMONET_FUSED_NORMALISATION", "0")
    model = small_model()
    with fused_normalisation(model):
        assert "FusedBatchNormV3" not in operations(model)


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"axis": 1}])
def test_what_the_kernel_cannot_do_stays_with_keras(options):
    model = small_model(**options)
    with fused_normalisation(model):
        assert "FusedBatchNormV3" not in operations(model)


def test_a_layer_of_another_kind_keeps_its_own_way():
    import keras

    class Doubled(keras.layers.BatchNormalization):
        def call(self, inputs, training=None, mask=None):
            return 2 * super().call(inputs, training=training, mask=mask)

    pixels = keras.Input((12, 12, 3))
    model = keras.Model(pixels, Doubled()(pixels))
    with fused_normalisation(model):
        assert "FusedBatchNormV3" not in operations(model)


def test_one_layer_may_be_used_twice():
    import keras

    pixels, shared = keras.Input((12, 12, 3)), keras.layers.BatchNormalization()
    model = keras.Model(pixels, shared(keras.layers.ReLU()(shared(pixels))))
    with fused_normalisation(model):
        assert "FusedBatchNormV3" in operations(model)


def test_vectors_stay_with_keras():
    import keras

    vectors = keras.Input((5,))
    model = keras.Model(vectors, keras.layers.BatchNormalization()(vectors))
    with fused_normalisation(model):
        assert model(np.ones((4, 5)), training=True).shape == (4, 5)


def test_frozen_statistics_stay_as_they_are():
    model = small_model()
    model.get_layer("bn").trainable = False
    trained(model, fused=True)
    assert not np.any(model.get_layer("bn").moving_mean)
