"""DenseNet for faces of 40 to 64 pixels: each layer gets the outputs of all layers before it.

It follows DenseNet-BC of Huang et al. 2017, "Densely Connected Convolutional Networks", section 3:
bottlenecks of 1x1 convolutions, and transitions that halve the channels. The 3x3 stem without
pooling follows the networks for CIFAR-10 in the same paper.
"""

import keras
from keras import layers

BLOCKS = 4
#: Channels of a bottleneck, as a multiple of the growth rate.
BOTTLENECK = 4


def densenet(
    input_size: tuple[int, int], *, growth_rate: int, layers_per_block: int, dropout: float
) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, channels) pooled features.

    A layer adds ``growth_rate`` channels to its input. A transition after each block but the last
    halves channels, height and width. Dropout follows each block.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    # Scale each face to mean 0 and variance 1, so that lighting need not be learned.
    x = layers.GroupNormalization(
        groups=1, center=False, scale=False, dtype="float32", name="standardised"
    )(pixels)
    x = _convolution(x, 2 * growth_rate, 3, "stem")
    for block in range(BLOCKS):
        for place in range(layers_per_block):
            new = _activated(x, f"block{block}_{place}_a")
            new = _convolution(new, BOTTLENECK * growth_rate, 1, f"block{block}_{place}_a")
            new = _activated(new, f"block{block}_{place}_b")
            new = _convolution(new, growth_rate, 3, f"block{block}_{place}_b")
            x = layers.Concatenate(name=f"block{block}_{place}")([x, new])
        if block < BLOCKS - 1:
            x = _activated(x, f"transition{block}")
            x = _convolution(x, x.shape[-1] // 2, 1, f"transition{block}")
            x = layers.AveragePooling2D(2, name=f"transition{block}_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"block{block}_dropout")(x)
    x = _activated(x, "last")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, x, name="densenet")


def _activated(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    # Epochs are short: with this momentum, statistics follow the weights within 100 steps.
    x = layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _convolution(x: keras.KerasTensor, channels: int, size: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(
        channels,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
