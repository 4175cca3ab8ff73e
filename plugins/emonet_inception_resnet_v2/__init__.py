"""Built-in plugin: Inception-ResNet-v2, the paper's first backbone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import BackboneSpec, Json, hookimpl, locate_file, require_size

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (139, 139)
# The limit on memory for models from untrusted authors.
MAX_SIDE = 512


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``inception_resnet_v2``."""
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
    """Build the backbone; ``weights`` is the location of Keras Applications' ImageNet weights."""
    size = require_size("inception_resnet_v2", "input_size", config["input_size"], 75, MAX_SIDE)
    weights = None
    if pretrained:
        source = config["weights"]
        weights = "imagenet" if source is None else str(locate_file(source))

    from emonet_inception_resnet_v2.architecture import inception_resnet_v2

    return inception_resnet_v2(size, weights)
