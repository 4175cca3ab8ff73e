"""ResNet-18 with a 3x3 stem and no stem pooling, for faces of 40 to 64 pixels.

The residual blocks follow He et al. 2015, "Deep Residual Learning for Image Recognition",
section 4.2. The small stem follows the network for CIFAR-10 in the same paper.
"""

import keras
from keras import layers

STAGES = 4
BLOCKS_PER_STAGE = 2


def resnet18(
    input_size: tuple[int, int], *, width: int, stem_stride: int, dropout: float
) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 8 * width) pooled features.

    The first stage has ``width`` channels, and each later stage twice as many as the one before.
    A stem stride of 2 takes a quarter of the time that 1 takes. Dropout follows each stage.
    """
    pixels = keras.Input((*input_size, 3), name="pixels")
    # Scale each face to mean 0 and variance 1, so that lighting need not be learned.
    x = layers.GroupNormalization(
        groups=1, center=False, scale=False, dtype="float32", name="standardised"
    )(pixels)
    x = _conv(x, width, 3, stem_stride, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage in range(STAGES):
        for block in range(BLOCKS_PER_STAGE):
            stride = 2 if stage > 0 and block == 0 else 1
            x = _residual_block(x, width * 2**stage, stride, f"stage{stage}_block{block}")
        if dropout:
            x = layers.Dropout(dropout, name=f"stage{stage}_dropout")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, x, name="resnet18")


def _residual_block(
    x: keras.KerasTensor, channels: int, stride: int, name: str
) -> keras.KerasTensor:
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = _conv(x, channels, 1, stride, f"{name}_shortcut")
    x = _conv(x, channels, 3, stride, f"{name}_a")
    x = layers.ReLU(name=f"{name}_a_relu")(x)
    x = _conv(x, channels, 3, 1, f"{name}_b")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _conv(
    x: keras.KerasTensor, channels: int, size: int, stride: int, name: str
) -> keras.KerasTensor:
    """Apply a convolution and batch normalisation."""
    x = layers.Conv2D(
        channels,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    # Epochs are short: with this momentum, statistics follow the weights within 100 steps.
    return layers.BatchNormalization(momentum=0.95, epsilon=1e-5, name=f"{name}_bn")(x)
