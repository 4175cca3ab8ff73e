"""Built-in plugin: a small DenseNet for low-resolution faces."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, ConfigError, Json, hookimpl, require_number, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (48, 48)
# The limits bound the memory of models from untrusted authors.
LIMITS = {"growth_rate": 48, "layers_per_block": 24}
MAX_SIDE = 256


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``densenet``."""
    return [
        BackboneSpec(
            name="densenet",
            build=build,
            input_size=INPUT_SIZE,
            defaults={
                "growth_rate": 24,
                "layers_per_block": 6,
                "dropout": 0.0,
                "input_size": list(INPUT_SIZE),
            },
            summary="DenseNet for small faces; four blocks of six layers (1.0 M parameters)",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone; each layer of a block adds ``growth_rate`` channels."""
    if pretrained:
        raise ConfigError("densenet has no pretrained weights; use pretrained=False")
    for key in LIMITS:
        require_number("densenet", key, config[key], 1, LIMITS[key], whole=True)
    require_number("densenet", "dropout", config["dropout"], 0, 0.9)
    size = require_size("densenet", "input_size", config["input_size"], 16, MAX_SIDE)

    from emonet_densenet.architecture import densenet

    return densenet(
        size,
        growth_rate=config["growth_rate"],
        layers_per_block=config["layers_per_block"],
        dropout=config["dropout"],
    )
