"""Combine networks, views and calibration into one Keras model, which LiteRT needs."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from emonet.config import ModelConfig, TestTimeAugmentation
from emonet.network.resizing import Resized
from emonet.network.views import view_indices
from emonet.pipeline.crops import resampling


class Views(layers.Layer):  # type: ignore[misc]
    """Concatenates the views of faces: (n, h, w) -> (views * n, h, w)."""

    def __init__(self, augmentation: TestTimeAugmentation) -> None:
        super().__init__()
        self.augmentation = augmentation

    def call(self, faces: keras.KerasTensor) -> keras.KerasTensor:
        """Concatenate the views."""
        indices = view_indices(faces.shape[1:], self.augmentation)
        return ops.concatenate(
            [ops.take(ops.take(faces, rows, 1), columns.copy(), 2) for rows, columns in indices]
        )


class MeanOverViews(layers.Layer):  # type: ignore[misc]
    """Averages the probabilities of the views: (views * n, k) -> (n, k)."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def call(self, probabilities: keras.KerasTensor) -> keras.KerasTensor:
        """Average over the views."""
        shape = (self.count, -1, probabilities.shape[-1])
        return ops.mean(ops.reshape(probabilities, shape), axis=0)


class WeightedMean(layers.Layer):  # type: ignore[misc]
    """Computes the weighted mean of the members' probabilities, calibration and class prior."""

    def __init__(
        self, weights: Sequence[float], temperature: float, factors: Sequence[float] | None
    ) -> None:
        super().__init__(name="probabilities")
        self.factors = [weight / sum(weights) for weight in weights]
        self.temperature = temperature
        self.logs = 0.0 if factors is None else np.log(factors).astype(np.float32)

    def call(self, members: list[keras.KerasTensor]) -> keras.KerasTensor:
        """Map each member's (n, k) probabilities to one (n, k)."""
        mean = sum(factor * member for factor, member in zip(self.factors, members, strict=True))
        # The temperature divides the log-probabilities (Guo et al. 2017).
        return ops.softmax(ops.log(ops.maximum(mean, 1e-30)) / self.temperature + self.logs)


def export_model(models: Sequence[keras.Model], config: ModelConfig) -> keras.Model:
    """Return networks, their weights, calibration and views as one Keras model.

    Args:
        models: the networks with their weights, without feature extractors.
        config: the model's configuration.

    Returns:
        A model that maps float32 (n, height, width) grey 0..255, in the size of the largest
        network, to float32 (n, classes). It resizes the faces for smaller networks.
    """
    augmentation, size = config.test_time_augmentation, config.face_sizes[0]
    faces = keras.Input(size, dtype="float32", name="faces")
    viewed = {}
    for smaller in config.face_sizes:
        resized = faces if smaller == size else Resized(*resampling(size, smaller))(faces)
        viewed[smaller] = Views(augmentation)(resized)
    mean_over_views = MeanOverViews(len(list(view_indices(size, augmentation))))
    members = [
        mean_over_views(model([viewed[part.face_size]]))
        for part, model in zip(config.networks, models, strict=True)
    ]
    weights = [part.weight for part in config.networks]
    probabilities = WeightedMean(weights, config.temperature, config.class_factors)
    return keras.Model([faces], probabilities(members))
