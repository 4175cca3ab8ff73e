"""Built-in plugin: a small plain network for low-resolution faces."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import (
    BackboneSpec,
    ConfigError,
    Json,
    hookimpl,
    require_number,
    require_size,
)

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (44, 44)
# The full network's width is 64. A model from a stranger must not ask for any memory.
MAX_WIDTH = 128
MAX_SIDE = 256


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Offer ``vgg``."""
    return [
        BackboneSpec(
            name="vgg",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"width": 32, "dropout": 0.0, "input_size": list(INPUT_SIZE)},
            summary="VGG for small faces; half width (1.2 M parameters) by default",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone; ``width`` is the channel count of the first of its four stages."""
    if pretrained:
        raise ConfigError("vgg has no pretrained weights of its own; use pretrained=False")
    require_number("vgg", "width", config["width"], 1, MAX_WIDTH, whole=True)
    require_number("vgg", "dropout", config["dropout"], 0, 0.9)
    size = require_size("vgg", "input_size", config["input_size"], 16, MAX_SIDE)

    from emonet_vgg.architecture import vgg

    return vgg(size, width=config["width"], dropout=config["dropout"])
