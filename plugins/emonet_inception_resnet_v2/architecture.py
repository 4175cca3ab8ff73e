"""Inception-ResNet-v2 of Keras Applications (Szegedy et al. 2016) with built-in scaling."""

import keras
from keras import layers

from emonet.plugin import WeightsError


def inception_resnet_v2(input_size: tuple[int, int], weights: str | None) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 1536) pooled features.

    ``weights`` is the path of Keras Applications' file, ``"imagenet"`` to let Keras download it
    once, or None for random weights.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(pixels)
    try:
        model = keras.applications.InceptionResNetV2(
            include_top=False,
            weights=weights,
            input_tensor=scaled,
            pooling="avg",
        )
    except Exception as error:
        if weights is None:
            raise
        raise WeightsError(
            f"inception_resnet_v2: the ImageNet weights can't be loaded ({error}). Download "
            f"them on a machine with a connection (Keras keeps them in ~/.keras/models) and pass "
            f"the file's path as weights, or use pretrained=False."
        ) from error
    # Keras Applications' model takes a list of one input; this model takes the input itself.
    return keras.Model(pixels, model.output, name="inception_resnet_v2")
