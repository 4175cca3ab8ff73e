"""Built-in plugin: a small Inception network for low-resolution faces."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, ConfigError, Json, hookimpl, require_number, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (48, 48)
# The limits bound the memory of models from untrusted authors.
MAX_WIDTH = 16
MAX_SIDE = 256


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``inception``."""
    return [
        BackboneSpec(
            name="inception",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"width": 4, "dropout": 0.0, "input_size": list(INPUT_SIZE)},
            summary="Inception for small faces; eight modules (1.8 M parameters) by default",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone; modules of the first of four stages have ``16 * width`` channels."""
    if pretrained:
        raise ConfigError("inception has no pretrained weights; use pretrained=False")
    require_number("inception", "width", config["width"], 1, MAX_WIDTH, whole=True)
    require_number("inception", "dropout", config["dropout"], 0, 0.9)
    size = require_size("inception", "input_size", config["input_size"], 16, MAX_SIDE)

    from emonet_inception.architecture import inception

    return inception(size, width=config["width"], dropout=config["dropout"])
