"""Inception for faces of 40 to 64 pixels: four branches of different receptive fields.

The modules have the proportions of 3a in Szegedy et al. 2015, "Going Deeper with Convolutions",
table 1. Two 3x3 convolutions replace the 5x5 convolution, and batch normalisation follows each
convolution, as in the later Inception networks. A 3x3 stem replaces the stem for 224 pixels.
"""

import keras
from keras import layers

STAGES = 4
MODULES_PER_STAGE = 2


def inception(input_size: tuple[int, int], *, width: int, dropout: float) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 128 * width) pooled features.

    Modules of the first stage have ``16 * width`` channels, and modules of each later stage twice
    as many as before. Pooling lies between the stages. Dropout follows each stage.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    # Scale each face to mean 0 and variance 1, so that lighting need not be learned.
    x = layers.GroupNormalization(
        groups=1, center=False, scale=False, dtype="float32", name="standardised"
    )(pixels)
    x = _convolution(x, 8 * width, 3, "stem")
    for stage in range(STAGES):
        for module in range(MODULES_PER_STAGE):
            x = _module(x, width * 2**stage, f"stage{stage}_{module}")
        if stage < STAGES - 1:
            x = layers.MaxPooling2D(name=f"stage{stage}_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, x, name="inception")


def _module(x: keras.KerasTensor, unit: int, name: str) -> keras.KerasTensor:
    """Concatenate four branches to ``16 * unit`` channels."""
    one = _convolution(x, 4 * unit, 1, f"{name}_1x1")
    three = _convolution(x, 6 * unit, 1, f"{name}_3x3_reduce")
    three = _convolution(three, 8 * unit, 3, f"{name}_3x3")
    five = _convolution(x, unit, 1, f"{name}_5x5_reduce")
    five = _convolution(five, 2 * unit, 3, f"{name}_5x5_a")
    five = _convolution(five, 2 * unit, 3, f"{name}_5x5_b")
    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    pooled = _convolution(pooled, 2 * unit, 1, f"{name}_pool")
    return layers.Concatenate(name=name)([one, three, five, pooled])


def _convolution(x: keras.KerasTensor, channels: int, size: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    # Epochs are short: with this momentum, statistics follow the weights within 100 steps.
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
