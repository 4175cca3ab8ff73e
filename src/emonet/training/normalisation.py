"""Run batch normalisation as one TensorFlow kernel in training."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import keras


def batch_normalisations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the batch normalisation layers of a model and of the models in it."""
    return [
        layer
        for layer in model._flatten_layers()  # Keras has no public method
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


@contextmanager
def fused_normalisation(model: keras.Model) -> Iterator[None]:
    """Use TensorFlow's fused kernel for batch normalisation inside the ``with`` block.

    Keras builds batch normalisation from a dozen float32 operations, and each reads or writes the
    whole batch. In bfloat16 they take longer than the convolutions. TensorFlow's fused operation
    computes the same. Other backends lack one, or fuse the operations of Keras themselves.
    ``EMONET_FUSED_NORMALISATION=0`` leaves the layers as they are.
    """
    if os.environ.get("EMONET_FUSED_NORMALISATION") == "0":
        yield
        return
    layers = [layer for layer in batch_normalisations(model) if _can_be_fused(layer)]
    for layer in layers:
        layer.call = MethodType(_call, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _can_be_fused(layer: keras.layers.BatchNormalization) -> bool:
    return (
        keras.backend.backend() == "tensorflow"
        and type(layer) is keras.layers.BatchNormalization  # a subclass may compute something else
        and layer.scale
        and layer.center
        and layer.axis in (-1, 3)
        and not getattr(layer, "renorm", False)
        and not layer.synchronized
        and layer.compute_dtype in ("float32", "bfloat16")
    )


def _call(
    self: keras.layers.BatchNormalization,
    inputs: keras.KerasTensor,
    training: bool | None = None,
    mask: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Normalise as keras.layers.BatchNormalization does."""
    if not (training and self.trainable) or mask is not None or len(inputs.shape) != 4:
        return type(self).call(self, inputs, training=training, mask=mask)
    import tensorflow as tf

    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=keras.ops.convert_to_tensor(self.gamma, "float32"),
        offset=keras.ops.convert_to_tensor(self.beta, "float32"),
        mean=keras.ops.zeros((0,)),
        variance=keras.ops.zeros((0,)),
        epsilon=self.epsilon,
        is_training=True,
    )
    # TensorFlow returns the unbiased estimate of the variance; Keras keeps the biased one.
    count = keras.ops.cast(keras.ops.size(inputs) / keras.ops.shape(inputs)[-1], "float32")
    variance = variance * (count - 1) / count
    new = 1 - self.momentum
    self.moving_mean.assign(self.moving_mean * self.momentum + mean * new)
    self.moving_variance.assign(self.moving_variance * self.momentum + variance * new)
    return outputs
