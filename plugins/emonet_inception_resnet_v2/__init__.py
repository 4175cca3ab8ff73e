"""Built-in plugin: Inception-ResNet-v2, the seed paper's first backbone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import (
    BackboneSpec,
    Json,
    hookimpl,
    locate_file,
    require_size,
)

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (139, 139)
# A model from a stranger must not ask for any memory.
MAX_SIDE = 512


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Offer ``inception_resnet_v2``."""
    return [
        BackboneSpec(
            name="inception_resnet_v2",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"input_size": list(INPUT_SIZE), "weights": None},
            machine_settings=("weights",),
            summary="Inception-ResNet-v2 (Szegedy et al. 2016), 54.3 M parameters; pretrained "
            "on ImageNet",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone.

    Args:
        config: ``weights`` says where Keras Applications' file of ImageNet weights is: a path,
            ``hf://org/name/file`` or an address; None lets Keras download it once.
        pretrained: whether to load that file.
    """
    size = require_size("inception_resnet_v2", "input_size", config["input_size"], 75, MAX_SIDE)
    source = config["weights"]
    file = locate_file(source) if pretrained and source is not None else None

    from emonet_inception_resnet_v2.architecture import inception_resnet_v2

    return inception_resnet_v2(size, pretrained=pretrained, weights_file=file)
