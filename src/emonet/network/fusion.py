"""The Keras model that fuses a backbone's features with feature extractors' vectors.

This is the two-input network of the seed paper's Figure 5; with no feature extractor the
same code gives the pixels-only network. Imported only where a model is built.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from emonet.config import HeadConfig
from emonet.network.resizing import Resized, bicubic
from emonet.network.weights import OUTPUT_LAYER

__all__ = ["MeanCentring", "build_model", "keras_settings", "set_mean_face", "set_standardisation"]

MEAN_CENTRING = "mean_centring"
STANDARDISED = "{}_standardised"


class MeanCentring(layers.Layer):  # type: ignore[misc]
    """Subtracts the training set's mean face and adds its mean grey value back.

    The value that is added back keeps the result in the 0..255 that every backbone expects.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make room for the mean face."""
        self.mean_face = self.add_weight(
            name="mean_face", shape=input_shape[1:], initializer="zeros", trainable=False
        )

    def call(self, faces: keras.KerasTensor) -> keras.KerasTensor:
        """Centre float32 (n, height, width) faces."""
        return faces - self.mean_face + ops.mean(self.mean_face)


def build_model(
    backbone: keras.Model,
    *,
    face_size: tuple[int, int],
    feature_sizes: Mapping[str, int],
    num_classes: int,
    head: HeadConfig,
    centred: bool,
) -> keras.Model:
    """Build the model from grey faces (and feature vectors) to class probabilities.

    Args:
        backbone: maps float32 (n, h, w, 3) RGB 0..255 to (n, num_features).
        face_size: (height, width) of a face, pixels; resized to the backbone's if different.
        feature_sizes: length of each feature extractor's vector, by its name.
        num_classes: how many probabilities come out.
        head: the layers that fuse and classify.
        centred: whether the training set's mean face is subtracted first.

    Returns:
        A model whose inputs are float32 (n, height, width) grey 0..255 and, in the order of
        ``feature_sizes``, float32 (n, size); its output is float32 (n, num_classes).
    """
    faces = keras.Input(face_size, dtype="float32", name="faces")
    # An extractor may have any name, such as that of another layer.
    vectors = {
        name: keras.Input((size,), dtype="float32", name=f"{name}_vector")
        for name, size in feature_sizes.items()
    }
    fused = [backbone(_to_rgb(faces, backbone.input_shape[1:3], centred))]
    for name, vector in vectors.items():
        x = layers.BatchNormalization(name=STANDARDISED.format(name))(vector)
        fused.append(layers.Dense(head.feature_units, "relu", name=f"{name}_dense")(x))
    x = layers.Concatenate(name="fused")(fused) if vectors else fused[0]
    for index, units in enumerate(head.units):
        x = layers.Dropout(head.dropout, name=f"head{index}_dropout")(x)
        x = layers.Dense(units, "relu", name=f"head{index}_dense")(x)
    x = layers.Dropout(head.dropout, name="dropout")(x)
    # Probabilities need float32 also where the rest computes in bfloat16.
    x = layers.Dense(num_classes, "softmax", dtype="float32", name=OUTPUT_LAYER)(x)
    return keras.Model([faces, *vectors.values()], x)


@contextmanager
def keras_settings(*, precision: str, seed: int | None) -> Iterator[None]:
    """Build models in a precision and with initial weights that follow from a seed.

    Keras takes the precision from a global policy and, for every layer without a seed, one
    from Python's global generator: both are put back as they were.
    """
    policy, state = keras.config.dtype_policy(), random.getstate()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    if seed is not None:
        random.seed(seed)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def set_mean_face(model: keras.Model, images: NDArray[np.uint8]) -> None:
    """Store the mean of uint8 (n, height, width) faces in the model's centring layer."""
    model.get_layer(MEAN_CENTRING).mean_face.assign(images.mean(axis=0, dtype=np.float64))


def set_standardisation(model: keras.Model, extractor: str, vectors: NDArray[np.float32]) -> None:
    """Let a feature extractor's standardisation begin with the statistics of its vectors.

    Batch normalisation comes to them by itself, but within hundreds of steps; until then what
    is validated is not what is trained.
    """
    layer = model.get_layer(STANDARDISED.format(extractor))
    layer.moving_mean.assign(vectors.mean(axis=0, dtype=np.float64))
    layer.moving_variance.assign(vectors.var(axis=0, dtype=np.float64))


def _to_rgb(faces: keras.KerasTensor, size: tuple[int, int], centred: bool) -> keras.KerasTensor:
    """Turn grey faces into RGB of the backbone's size."""
    # float32 throughout: bfloat16 has too few digits for differences of grey values.
    x = faces
    if centred:
        x = MeanCentring(name=MEAN_CENTRING, dtype="float32")(x)
    if tuple(size) != tuple(faces.shape[1:]):
        rows, columns = map(bicubic, faces.shape[1:], size)
        x = Resized(rows, columns, dtype="float32", name="resized")(x)
    x = layers.Reshape((*size, 1), dtype="float32", name="grey")(x)
    return layers.Concatenate(dtype="float32", name="rgb")([x, x, x])
