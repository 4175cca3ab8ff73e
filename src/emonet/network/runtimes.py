"""What carries out a network: so far Keras, the reference; chosen per model folder."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

__all__ = ["KerasRuntime", "Runtime"]


class Runtime(Protocol):
    """Carries out one network on one batch."""

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        ...


class KerasRuntime:
    """Runs the Keras model itself, compiled once per batch size."""

    def __init__(self, model: "keras.Model") -> None:
        self.model = model

    def __call__(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Map (n, height, width) grey 0..255 and (n, size) vectors to (n, classes)."""
        # Unlike predict, this sets up no data pipeline per call, so it neither crawls nor leaks.
        return np.asarray(self.model.predict_on_batch([faces, *features]), np.float32)
