"""Built-in plugin: a small VGG for low-resolution faces."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, ConfigError, Json, hookimpl, require_number, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (44, 44)
# A full VGG has width 64. The limits bound the memory of models from untrusted authors.
MAX_WIDTH = 128
MAX_SIDE = 256


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``vgg``."""
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
    """Build the backbone; ``width`` is the number of channels in the first of four stages."""
    if pretrained:
        raise ConfigError("vgg has no pretrained weights; use pretrained=False")
    require_number("vgg", "width", config["width"], 1, MAX_WIDTH, whole=True)
    require_number("vgg", "dropout", config["dropout"], 0, 0.9)
    size = require_size("vgg", "input_size", config["input_size"], 16, MAX_SIDE)

    from emonet_vgg.architecture import vgg

    return vgg(size, width=config["width"], dropout=config["dropout"])
