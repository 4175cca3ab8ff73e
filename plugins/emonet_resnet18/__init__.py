"""Built-in plugin: a small ResNet-18 for low-resolution faces."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, ConfigError, Json, hookimpl, require_number, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (48, 48)
# A full ResNet-18 has width 64. The limits bound the memory of models from untrusted authors.
LIMITS = {"width": 128, "stem_stride": 8}
MAX_SIDE = 256


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``resnet18``."""
    return [
        BackboneSpec(
            name="resnet18",
            build=build,
            input_size=INPUT_SIZE,
            defaults={
                "width": 32,
                "stem_stride": 2,
                "dropout": 0.0,
                "input_size": list(INPUT_SIZE),
            },
            summary="ResNet-18 for small faces; half width (2.8 M parameters) by default",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone; ``width`` is the number of channels in the first of four stages."""
    if pretrained:
        raise ConfigError("resnet18 has no pretrained weights; use pretrained=False")
    for key in LIMITS:
        require_number("resnet18", key, config[key], 1, LIMITS[key], whole=True)
    require_number("resnet18", "dropout", config["dropout"], 0, 0.9)
    size = require_size("resnet18", "input_size", config["input_size"], 16, MAX_SIDE)

    from emonet_resnet18.architecture import resnet18

    return resnet18(
        size, width=config["width"], stem_stride=config["stem_stride"], dropout=config["dropout"]
    )
