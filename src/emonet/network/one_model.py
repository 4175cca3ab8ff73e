"""A whole recognizer but for its detector as one Keras model."""

from collections.abc import Sequence
from typing import cast

import keras
from keras import layers, ops

from emonet.config import TestTimeAugmentation
from emonet.network.ensemble import Ensemble
from emonet.network.network import KerasNetwork
from emonet.network.resizing import Resized
from emonet.network.views import view_indices
from emonet.pipeline.crops import resampling

__all__ = ["one_model"]


class Views(layers.Layer):  # type: ignore[misc]
    """Puts the views of faces behind each other: (n, h, w) -> (views * n, h, w)."""

    def __init__(self, augmentation: TestTimeAugmentation) -> None:
        super().__init__()
        self.augmentation = augmentation

    def call(self, faces: keras.KerasTensor) -> keras.KerasTensor:
        """Take each view's rows and columns."""
        indices = view_indices(faces.shape[1:], self.augmentation)
        return ops.concatenate(
            [ops.take(ops.take(faces, rows, 1), columns.copy(), 2) for rows, columns in indices]
        )


class MeanOverViews(layers.Layer):  # type: ignore[misc]
    """Averages what became of each view: (views * n, k) -> (n, k)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def call(self, probabilities: keras.KerasTensor) -> keras.KerasTensor:
        """Take the views apart and average."""
        shape = (self.count, -1, probabilities.shape[-1])
        return ops.mean(ops.reshape(probabilities, shape), axis=0)


class WeightedMean(layers.Layer):  # type: ignore[misc]
    """Averages the members' probabilities and calibrates the mean."""

    def __init__(self, weights: Sequence[float], temperature: float) -> None:
        super().__init__(name="probabilities")
        self.shares = [weight / sum(weights) for weight in weights]
        self.temperature = temperature

    def call(self, members: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Map every member's (n, k) to one (n, k)."""
        mean = sum(share * member for share, member in zip(self.shares, members, strict=True))
        # The temperature divides the logarithms (Guo et al. 2017).
        return ops.softmax(ops.log(ops.maximum(mean, 1e-30)) / self.temperature)


def one_model(ensemble: Ensemble) -> keras.Model:
    """Put networks, their weights, calibration and views into one Keras model.

    Args:
        ensemble: of networks that Keras runs, without feature extractors.

    Returns:
        A model from float32 (n, height, width) grey 0..255, as large as the largest faces
        that a network takes, to float32 (n, classes). Smaller faces are made from larger ones
        inside it.
    """
    networks, augmentation = ensemble.networks, ensemble.augmentation
    size = max(network.face_size for network in networks)
    faces = keras.Input(size, dtype="float32", name="faces")
    seen = Views(augmentation)(faces)
    count = len(list(view_indices(size, augmentation)))
    members = []
    for network in networks:
        own = seen
        if network.face_size != size:
            own = Resized(*resampling(size, network.face_size))(own)
        members.append(MeanOverViews(count)(cast("KerasNetwork", network).model([own])))
    return keras.Model([faces], WeightedMean(ensemble.weights, ensemble.temperature)(members))
