"""A custom backbone in one file: a few convolutions.

pip install examples/custom-backbone
emonet train --data fer2013.csv --backbone plain_cnn --backbone-option width=64 --out my_model
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, Json, hookimpl, require_number, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (48, 48)


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``plain_cnn``; only ``build`` imports Keras, because Keras loads slowly."""
    return [
        BackboneSpec(
            name="plain_cnn",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"input_size": list(INPUT_SIZE), "width": 32},
            summary="Three convolutions; no pretrained weights",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Return a model from RGB float32 0..255 to one vector per face; nothing is pretrained."""
    import keras
    from keras import layers

    size = require_size("plain_cnn", "input_size", config["input_size"], 16, 256)
    require_number("plain_cnn", "width", config["width"], 4, 512, whole=True)
    pixels = keras.Input((*size, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32", name="rescaling")(pixels)
    for index in range(3):
        channels = config["width"] * 2**index
        x = layers.Conv2D(
            channels, 3, strides=2, padding="same", use_bias=False, name=f"conv{index}"
        )(x)
        x = layers.BatchNormalization(name=f"norm{index}")(x)
        x = layers.ReLU(name=f"relu{index}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, x, name="plain_cnn")
