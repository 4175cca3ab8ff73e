"""Built-in plugin: ResNet-50, the seed paper's second backbone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, Json, hookimpl, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (197, 197)


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Offer ``resnet50``."""
    return [
        BackboneSpec(
            name="resnet50",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"input_size": list(INPUT_SIZE)},
            summary="ResNet-50 (He et al. 2015), 23.6 M parameters; pretrained on ImageNet",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone; ``pretrained`` gives it Keras Applications' ImageNet weights."""
    from emonet_resnet50.architecture import resnet50

    size = require_size("resnet50", "input_size", config["input_size"], least=32)
    return resnet50(size, pretrained=pretrained)
