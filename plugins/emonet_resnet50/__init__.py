"""Built-in plugin: ResNet-50, the paper's second backbone."""

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
# The limit on memory for models from untrusted authors.
MAX_SIDE = 512


@hookimpl
def emonet_register_backbones() -> list[BackboneSpec]:
    """Register ``resnet50``."""
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

    The variant ``imagenet`` is the network of Keras Applications, ``vggface2`` the network of
    keras-vggface. ``weights`` locates the weights file; None downloads the published file.
    """
    size = require_size("resnet50", "input_size", config["input_size"], 32, MAX_SIDE)
    require_choice("resnet50", "variant", config["variant"], ("imagenet", "vggface2"))
    source = config["weights"]
    if config["variant"] == "imagenet":
        from emonet_resnet50.architecture import resnet50

        weights = None
        if pretrained:
            weights = "imagenet" if source is None else str(locate_file(source))
        return resnet50(size, weights)
    from emonet_resnet50 import vggface2

    model = vggface2.vggface2_resnet50(size)
    if pretrained:
        try:
            path = locate_file(source or vggface2.PUBLISHED)
        except HubError as error:
            raise HubError(
                f"resnet50: {error}. Download {vggface2.PUBLISHED.rpartition('/')[2]} on a machine "
                f"with a connection and pass its path as weights, or use pretrained=False."
            ) from error
        vggface2.load_weights(model, path)
    return model
