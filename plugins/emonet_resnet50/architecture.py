"""ResNet-50 of Keras Applications (He et al. 2015) with built-in scaling."""

import keras
from keras import layers, ops

from emonet.plugin import WeightsError

# The mean of ImageNet's pixels as blue, green, red. The published weights expect BGR values
# of 0..255 minus this mean.
IMAGENET_MEAN = (103.939, 116.779, 123.68)


def resnet50(input_size: tuple[int, int], weights: str | None) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 2048) pooled features.

    ``weights`` is the path of Keras Applications' file, ``"imagenet"`` to let Keras download it
    once, or None for random weights.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    bgr = ops.flip(pixels, axis=-1)
    scaled = layers.Rescaling(
        1.0, offset=[-mean for mean in IMAGENET_MEAN], dtype="float32", name="rescaling"
    )(bgr)
    try:
        model = keras.applications.ResNet50(
            include_top=False,
            weights=weights,
            input_tensor=scaled,
            pooling="avg",
        )
    except Exception as error:
        if weights is None:
            raise
        raise WeightsError(
            f"resnet50: the ImageNet weights can't be loaded ({error}). Download them on a "
            f"machine with a connection (Keras keeps them in ~/.keras/models) and pass the file's "
            f"path as weights, or use pretrained=False."
        ) from error
    # Keras Applications' model takes a list of one input; this model takes the input itself.
    return keras.Model(pixels, model.output, name="resnet50")
