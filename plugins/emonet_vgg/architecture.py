"""A VGG for faces of 40 to 64 pixels: pairs of 3x3 convolutions, each pair followed by pooling.

It follows Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", section 2.1, with batch normalisation. Mean pooling replaces the fully connected
layers.
"""

import keras
from keras import layers

STAGES = 4
CONVOLUTIONS_PER_STAGE = 2


def vgg(input_size: tuple[int, int], *, width: int, dropout: float) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 8 * width) pooled features.

    The first stage has ``width`` channels, and each later stage twice as many as the one before.
    Dropout follows each stage.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    # Scale each face to mean 0 and variance 1, so that lighting need not be learned.
    x = layers.GroupNormalization(
        groups=1, center=False, scale=False, dtype="float32", name="standardised"
    )(pixels)
    for stage in range(STAGES):
        for place in range(CONVOLUTIONS_PER_STAGE):
            x = _convolution(x, width * 2**stage, f"stage{stage}_{place}")
        if stage < STAGES - 1:
            x = layers.MaxPooling2D(name=f"stage{stage}_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, x, name="vgg")


def _convolution(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(
        channels,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    # Epochs are short: with this momentum, statistics follow the weights within 100 steps.
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
