"""Build the Keras model that fuses a backbone's features with feature extractors' vectors.

This is the two-input network of the paper's Figure 5. Without feature extractors, the network
takes pixels alone. This module imports Keras, so it is imported only where a model is built.
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
from emonet.network.weights import OUTPUT_LAYER, STANDARDISED

MEAN_CENTRING = "mean_centring"


class MeanCentring(layers.Layer):  # type: ignore[misc]
    """Subtracts the training set's mean face and adds its mean grey value.

    The mean grey value keeps the result near the 0..255 that every backbone expects.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the mean face, initially zero."""
        self.mean_face = self.add_weight(
            name="mean_face", shape=input_shape[1:], initializer="zeros", trainable=False
        )

    def call(self, faces: keras.KerasTensor) -> keras.KerasTensor:
        """Subtract the mean face from float32 (n, height, width) faces."""
        return faces - self.mean_face + ops.mean(self.mean_face)


def build_model(
    backbone: keras.Model,
    *,
    face_size: tuple[int, int],
    feature_sizes: Mapping[str, int],
    num_classes: int,
    head: HeadConfig,
    subtract_mean_face: bool,
) -> keras.Model:
    """Build the model that maps grey faces and feature vectors to class probabilities.

    Args:
        backbone: maps float32 (n, h, w, 3) RGB 0..255 to (n, num_features).
        face_size: (height, width) of a face, pixels; resized in the model to the backbone's.
        feature_sizes: length of each feature extractor's vector, by name.
        num_classes: number of classes.
        head: configuration of the layers that fuse and classify.
        subtract_mean_face: whether to subtract the training set's mean face first.

    Returns:
        A model with the inputs float32 (n, height, width) grey 0..255 and, in the order of
        ``feature_sizes``, float32 (n, size). Its output is float32 (n, num_classes).
    """
    faces = keras.Input(face_size, dtype="float32", name="faces")
    # The suffix keeps extractors' names apart from layers' names.
    vectors = {
        name: keras.Input((size,), dtype="float32", name=f"{name}_vector")
        for name, size in feature_sizes.items()
    }
    fused = [backbone(_to_rgb(faces, backbone.input_shape[1:3], subtract_mean_face))]
    for name, vector in vectors.items():
        x = layers.BatchNormalization(name=STANDARDISED.format(name))(vector)
        fused.append(layers.Dense(head.feature_units, "relu", name=f"{name}_dense")(x))
    x = layers.Concatenate(name="fused")(fused) if vectors else fused[0]
    for index, units in enumerate(head.units):
        x = layers.Dropout(head.dropout, name=f"head{index}_dropout")(x)
        x = layers.Dense(units, "relu", name=f"head{index}_dense")(x)
    x = layers.Dropout(head.dropout, name="dropout")(x)
    # Probabilities need float32 even if the other layers compute in bfloat16.
    x = layers.Dense(num_classes, "softmax", dtype="float32", name=OUTPUT_LAYER)(x)
    return keras.Model([faces, *vectors.values()], x)


@contextmanager
def keras_settings(*, precision: str, seed: int | None) -> Iterator[None]:
    """Set the precision and the seed of initial weights for models built in this context.

    Keras takes the precision from a global policy, and seeds of layers from Python's global
    random number generator. Both are restored afterwards.
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
    """Store the mean of uint8 (n, height, width) faces in the model's MeanCentring layer."""
    model.get_layer(MEAN_CENTRING).mean_face.assign(images.mean(axis=0, dtype=np.float64))


def set_standardisation(model: keras.Model, extractor: str, vectors: NDArray[np.float32]) -> None:
    """Initialise an extractor's batch normalisation with the statistics of its vectors.

    Batch normalisation needs hundreds of steps to estimate them. Until then, validation would
    use other statistics than training.
    """
    layer = model.get_layer(STANDARDISED.format(extractor))
    layer.moving_mean.assign(vectors.mean(axis=0, dtype=np.float64))
    layer.moving_variance.assign(vectors.var(axis=0, dtype=np.float64))


def _to_rgb(
    faces: keras.KerasTensor, size: tuple[int, int], subtract_mean_face: bool
) -> keras.KerasTensor:
    """Return grey faces as RGB in the backbone's size."""
    # All layers use float32: bfloat16 is too coarse for differences of grey values.
    x = faces
    if subtract_mean_face:
        x = MeanCentring(name=MEAN_CENTRING, dtype="float32")(x)
    if tuple(size) != tuple(faces.shape[1:]):
        rows, columns = map(bicubic, faces.shape[1:], size)
        x = Resized(rows, columns, dtype="float32", name="resized")(x)
    x = layers.Reshape((*size, 1), dtype="float32", name="grey")(x)
    return layers.Concatenate(dtype="float32", name="rgb")([x, x, x])
