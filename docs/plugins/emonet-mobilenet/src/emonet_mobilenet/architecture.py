"""Keras Applications' MobileNet (Howard et al. 2017) with built-in scaling."""

import keras
from keras import layers, ops

from emonet_mobilenet.weights import fill

# Mean of blue, green and red. Networks for faces have subtracted it since VGG-Face.
MEAN = (103.939, 116.779, 123.68)


class StillBatchNormalization(layers.BatchNormalization):
    """Batch normalisation with fixed statistics, also in training."""

    def call(self, inputs, training=None, mask=None):
        """Normalise with the stored statistics; ``training`` has no effect."""
        return super().call(inputs, training=False, mask=mask)


def mobilenet(input_size, *, alpha, weights):
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 1024 * alpha) pooled features.

    Args:
        input_size: (height, width) of the input, pixels.
        alpha: width multiplier: number of channels relative to the published network.
        weights: file of weights, or None. With a file, batch normalisation keeps its
            statistics, because some files have them folded into the other weights.

    Raises:
        EmonetError: the file is missing, can't be read, or has no weights for a layer.
    """
    network = keras.applications.MobileNet(
        input_shape=(*input_size, 3), alpha=alpha, include_top=False, weights=None, pooling="avg"
    )
    if weights is not None:
        network = keras.models.clone_model(network, clone_function=_frozen)
        fill(network, weights)
    pixels = keras.Input((*input_size, 3), name="pixels")
    bgr = ops.flip(pixels, axis=-1)
    scaled = layers.Rescaling(
        1.0, offset=[-mean for mean in MEAN], dtype="float32", name="rescaling"
    )(bgr)
    return keras.Model(pixels, network(scaled), name="mobilenet")


def _frozen(layer):
    """Return a copy of a layer, with fixed statistics if it normalises batches."""
    normalises = isinstance(layer, layers.BatchNormalization)
    kind = StillBatchNormalization if normalises else type(layer)
    return kind.from_config(layer.get_config())
