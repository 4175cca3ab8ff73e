"""ResNet-50 of keras-vggface, with weights trained for face recognition.

The architecture differs from Keras Applications' ResNet-50: convolutions have no bias, strides
and padding are elsewhere, and layers have other names. Training: Cao et al. 2018, "VGGFace2".
The weights file comes from github.com/rcmalli/keras-vggface, release v2.0.
"""

from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from emonet.plugin import WeightsError

PUBLISHED = (
    "https://github.com/rcmalli/keras-vggface/releases/download/v2.0/"
    "rcmalli_vggface_tf_notop_resnet50.h5"
)

# The mean of VGGFace2's pixels as blue, green, red; subtracted from BGR values of 0..255.
MEAN = (91.4953, 103.8827, 131.0912)
BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}


def vggface2_resnet50(input_size: tuple[int, int]) -> keras.Model:
    """Map float32 (n, height, width, 3) RGB 0..255 to (n, 2048) pooled features."""
    pixels = keras.Input((*input_size, 3), name="pixels")
    x = layers.Rescaling(1.0, offset=[-mean for mean in MEAN], dtype="float32", name="rescaling")(
        ops.flip(pixels, axis=-1)
    )
    x = _convolution(x, 64, 7, "conv1_7x7_s2", strides=2)
    x = layers.MaxPooling2D(3, strides=2)(x)
    for stage, blocks in BLOCKS.items():
        for block in range(1, blocks + 1):
            strides = 2 if block == 1 and stage > 2 else 1
            x = _bottleneck(x, 16 * 2**stage, f"conv{stage}_{block}", strides, first=block == 1)
    return keras.Model(pixels, layers.GlobalAveragePooling2D(name="avg_pool")(x), name="resnet50")


def _bottleneck(
    x: keras.KerasTensor, filters: int, name: str, strides: int, *, first: bool
) -> keras.KerasTensor:
    """Reduce, convolve, expand; the first block of a stage also projects its shortcut."""
    shortcut = x
    x = _convolution(x, filters, 1, f"{name}_1x1_reduce", strides=strides)
    x = _convolution(x, filters, 3, f"{name}_3x3")
    x = _convolution(x, 4 * filters, 1, f"{name}_1x1_increase", activation=None)
    if first:
        shortcut = _convolution(
            shortcut, 4 * filters, 1, f"{name}_1x1_proj", strides=strides, activation=None
        )
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    activation: str | None = "relu",
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, kernel_size, strides=strides, padding="same", use_bias=False, name=name
    )(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return x if activation is None else layers.Activation(activation)(x)


def load_weights(model: keras.Model, path: Path) -> None:
    """Load a Keras 2 weights file into a model by layer name; an error leaves it unchanged.

    Keras' own ``by_name`` skips missing layers without a warning. Without ``by_name``, Keras goes
    by order alone and may confuse layers of the same shape.
    """
    try:
        with h5py.File(path, "r") as file:
            saved = _arrays_by_layer(file)
    except (OSError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path} is not a Keras weights file: {error}") from error
    weighted = [layer for layer in model.layers if layer.weights]
    missing = [layer.name for layer in weighted if layer.name not in saved]
    if missing:
        raise WeightsError(
            f"{path} has weights for {len(weighted) - len(missing)} of the {len(weighted)} layers "
            f"of keras-vggface's ResNet-50. Missing: {', '.join(missing[:5])}"
            f"{' ...' if missing[5:] else ''}. Use a file saved from the same architecture."
        )
    for layer in weighted:
        shapes = [array.shape for array in saved[layer.name]]
        expected = [tuple(weight.shape) for weight in layer.weights]
        if shapes != expected:
            raise WeightsError(f"{path}: {layer.name} has shapes {shapes}, expected {expected}")
    for layer in weighted:
        layer.set_weights(saved[layer.name])


def _arrays_by_layer(file: h5py.File) -> dict[str, list[NDArray[np.float32]]]:
    """Return each layer's arrays by name; ``/`` in a Keras 2 name becomes ``_``."""
    group = file.get("model_weights", file)
    arrays = {}
    for layer in group.attrs["layer_names"]:
        name = layer.decode() if isinstance(layer, bytes) else str(layer)
        keys = group[name].attrs["weight_names"]
        arrays[name.replace("/", "_")] = [
            group[name][key.decode() if isinstance(key, bytes) else str(key)][()] for key in keys
        ]
    return arrays
