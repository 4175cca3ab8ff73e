"""Built-in plugin: ResNet-50, the seed paper's second backbone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emonet.plugin import (
    BackboneSpec,
    HubError,
    Json,
    hookimpl,
    locate_file,
    require_choice,
    require_size,
)

if TYPE_CHECKING:
    import keras

INPUT_SIZE = (197, 197)
# A model from a stranger must not ask for any memory.
MAX_SIDE = 512


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Offer ``resnet50``."""
    return [
        BackboneSpec(
            name="resnet50",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"input_size": list(INPUT_SIZE), "variant": "imagenet", "weights": None},
            machine_settings=("weights",),
            summary="ResNet-50 (He et al. 2015), 23.6 M parameters; pretrained on ImageNet, "
            "or on faces with variant=vggface2",
        )
    ]


def build(config: Mapping[str, Json], *, pretrained: bool) -> "keras.Model":
    """Build the backbone.

    Args:
        config: ``variant`` is ``imagenet`` (Keras Applications' architecture) or ``vggface2``
            (keras-vggface's). ``weights`` says where the variant's weights file is: a path,
            ``hf://org/name/file`` or an address; None means where it was published.
        pretrained: whether to load that file.
    """
    size = require_size("resnet50", "input_size", config["input_size"], 32, MAX_SIDE)
    require_choice("resnet50", "variant", config["variant"], ("imagenet", "vggface2"))
    source = config["weights"]
    if config["variant"] == "imagenet":
        from emonet_resnet50.architecture import resnet50

        file = locate_file(source) if pretrained and source is not None else None
        return resnet50(size, pretrained=pretrained, weights_file=file)
    from emonet_resnet50 import vggface2

    model = vggface2.vggface2_resnet50(size)
    if pretrained:
        try:
            path = locate_file(source or vggface2.PUBLISHED)
        except HubError as error:
            raise HubError(
                f"resnet50: {error}. Get {vggface2.PUBLISHED.rpartition('/')[2]} where there is a "
                f"connection and pass its path as weights, or use pretrained=False."
            ) from error
        vggface2.load_weights(model, path)
    return model
