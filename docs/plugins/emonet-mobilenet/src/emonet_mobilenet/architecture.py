"""Keras Applications' MobileNet (Howard et al. 2017) behind its own scaling."""

import keras
from keras import layers, ops

from emonet_mobilenet.weights import fill

# Blue, green and red, as networks for faces have subtracted it since VGG-Face.
MEAN = (103.939, 116.779, 123.68)


class StillBatchNormalization(layers.BatchNormalization):
    """Batch normalisation by its stored statistics, in training too."""

    def call(self, inputs, training=None, mask=None):
        """Normalise; ``training`` changes nothing."""
        return super().call(inputs, training=False, mask=mask)


def mobilenet(input_size, *, alpha, weights):
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 1024 * alpha) pooled features.

    Args:
        input_size: (height, width) of the input, pixels.
        alpha: width multiplier: channels in proportion to the published network's.
        weights: a file to fill the network from, or None. The statistics of batch
            normalisation are kept then: files exist in which they are folded into the rest.

    Raises:
        EmonetError: the file can't be had or read, or doesn't fill every layer.
    """
    network = keras.applications.MobileNet(
        input_shape=(*input_size, 3), alpha=alpha, include_top=False, weights=None, pooling="avg"
    )
    if weights is not None:
        network = keras.models.clone_model(network, clone_function=_still)
        fill(network, weights)
    pixels = keras.Input((*input_size, 3), name="pixels")
    blue_first = ops.flip(pixels, axis=-1)
    centred = layers.Rescaling(
        1.0, offset=[-mean for mean in MEAN], dtype="float32", name="rescaling"
    )(blue_first)
    return keras.Model(pixels, network(centred), name="mobilenet")


def _still(layer):
    """Copy a layer; batch normalisation becomes still."""
    normalises = isinstance(layer, layers.BatchNormalization)
    kind = StillBatchNormalization if normalises else type(layer)
    return kind.from_config(layer.get_config())
