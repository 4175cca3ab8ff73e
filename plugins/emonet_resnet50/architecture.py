"""ResNet-50 of Keras Applications (He et al. 2015) behind its own scaling."""

from pathlib import Path

import keras
from keras import layers, ops

from emonet.plugin import WeightsError

# The mean of ImageNet's pixels, blue, green and red, which the published weights expect
# to be subtracted from BGR values of 0..255.
IMAGENET_MEAN = (103.939, 116.779, 123.68)


def resnet50(
    input_size: tuple[int, int], *, pretrained: bool, weights_file: Path | None = None
) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 2048) pooled features.

    Args:
        input_size: (height, width) of the input, pixels; 32 or more.
        pretrained: start from weights trained on ImageNet.
        weights_file: Keras Applications' file of them; None lets Keras download it once.

    Raises:
        WeightsError: the weights can't be fetched.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    blue_first = ops.flip(pixels, axis=-1)
    centred = layers.Rescaling(
        1.0, offset=[-mean for mean in IMAGENET_MEAN], dtype="float32", name="rescaling"
    )(blue_first)
    try:
        model = keras.applications.ResNet50(
            include_top=False,
            weights=str(weights_file or "imagenet") if pretrained else None,
            input_tensor=centred,
            pooling="avg",
        )
    except Exception as error:
        if not pretrained:
            raise
        raise WeightsError(
            f"resnet50: the ImageNet weights can't be loaded ({error}). Fetch them once where "
            f"there is a connection (Keras keeps them in ~/.keras/models), pass the file's path "
            f"as weights, or use pretrained=False."
        ) from error
    # Keras Applications would have a list of one input.
    return keras.Model(pixels, model.output, name="resnet50")
