"""Built-in plugin: Inception-ResNet-v2, the seed paper's first backbone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, Json, hookimpl, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (139, 139)


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Offer ``inception_resnet_v2``."""
    return [
        BackboneSpec(
            name="inception_resnet_v2",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"input_size": list(INPUT_SIZE)},
            summary="Inception-ResNet-v2 (Szegedy et al. 2016), 54.3 M parameters; pretrained "
            "on ImageNet",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone; ``pretrained`` gives it Keras Applications' ImageNet weights."""
    from emonet_inception_resnet_v2.architecture import inception_resnet_v2

    size = require_size("inception_resnet_v2", "input_size", config["input_size"], least=75)
    return inception_resnet_v2(size, pretrained=pretrained)
