"""Inception-ResNet-v2 of Keras Applications (Szegedy et al. 2016) behind its own scaling."""

from pathlib import Path

import keras
from keras import layers

from emonet.plugin import WeightsError


def inception_resnet_v2(
    input_size: tuple[int, int], *, pretrained: bool, weights_file: Path | None = None
) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 1536) pooled features.

    Args:
        input_size: (height, width) of the input, pixels; 75 or more.
        pretrained: start from weights trained on ImageNet.
        weights_file: Keras Applications' file of them; None lets Keras download it once.

    Raises:
        WeightsError: the weights can't be fetched.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    scaled = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(pixels)
    try:
        model = keras.applications.InceptionResNetV2(
            include_top=False,
            weights=str(weights_file or "imagenet") if pretrained else None,
            input_tensor=scaled,
            pooling="avg",
        )
    except Exception as error:
        if not pretrained:
            raise
        raise WeightsError(
            f"inception_resnet_v2: the ImageNet weights can't be loaded ({error}). Fetch them "
            f"once where there is a connection (Keras keeps them in ~/.keras/models), pass the "
            f"file's path as weights, or use pretrained=False."
        ) from error
    # Keras Applications would have a list of one input.
    return keras.Model(pixels, model.output, name="inception_resnet_v2")
