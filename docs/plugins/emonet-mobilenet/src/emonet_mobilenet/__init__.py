"""MobileNet v1 as a backbone for emonet."""

from emonet.plugin import BackboneSpec, ConfigError, hookimpl, require_number, require_size

INPUT_SIZE = (96, 96)


@hookimpl
def emonet_register_backbones():
    """Register ``mobilenet``."""
    return [
        BackboneSpec(
            name="mobilenet",
            build=build,
            input_size=INPUT_SIZE,
            defaults={"input_size": list(INPUT_SIZE), "alpha": 1.0, "weights": None},
            machine_settings=("weights",),
            summary="MobileNet v1 (Howard et al. 2017), 3.2 M parameters",
        )
    ]


def build(config, *, pretrained):
    """Build the backbone; with ``pretrained``, load the file in the setting ``weights``."""
    from emonet_mobilenet.architecture import mobilenet

    size = require_size("mobilenet", "input_size", config["input_size"], minimum=32)
    require_number("mobilenet", "alpha", config["alpha"], 0.1, 2)
    if pretrained and config["weights"] is None:
        raise ConfigError(
            "mobilenet: pretrained=True needs weights trained on faces, and this package contains "
            "none. Name a file in the setting 'weights': a file from Keras' save_weights for "
            "keras.applications.MobileNet with the same alpha, or a safetensors file with the "
            "same layer names. The README explains both."
        )
    weights = config["weights"] if pretrained else None
    return mobilenet(size, alpha=config["alpha"], weights=weights)
