"""A network: one backbone, any number of feature extractors, one head that fuses them."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.errors import WeightsError
from emonet.network.batching import run_in_batches
from emonet.network.runtimes import KerasRuntime
from emonet.network.weights import get_weights, set_weights
from emonet.plugin import FeatureExtractor

if TYPE_CHECKING:
    import keras

__all__ = ["Network"]


class Network:
    """Predicts class probabilities for face crops.

    Attributes:
        model: from faces and feature vectors to probabilities.
        backbone: the part of the model that came from the backbone plugin.
        extractors: by name, in the order of the model's inputs.
    """

    def __init__(
        self,
        model: "keras.Model",
        backbone: "keras.Model",
        extractors: Mapping[str, FeatureExtractor],
    ) -> None:
        self.model = model
        self.backbone = backbone
        self.extractors = extractors
        self._runtime = KerasRuntime(model)
        # Keras compiles at the first call, which two threads must not do at once.
        self._lock = threading.Lock()

    @property
    def num_classes(self) -> int:
        """How many probabilities a face gets."""
        return int(self.model.output_shape[-1])

    @property
    def face_size(self) -> tuple[int, int]:
        """(height, width) of the faces that it takes, pixels."""
        height, width = self.model.inputs[0].shape[1:]
        return (height, width)

    def features(self, faces: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Run every feature extractor on uint8 (n, height, width) faces."""
        return [extractor.transform(faces) for extractor in self.extractors.values()]

    def predict_proba(
        self, faces: NDArray[np.uint8], features: Sequence[NDArray[np.float32]] | None = None
    ) -> NDArray[np.float32]:
        """Tell the class probabilities of faces.

        Args:
            faces: uint8 (n, height, width); n >= 1.
            features: what ``features(faces)`` returns, where it is known already.

        Returns:
            float32 (n, classes); rows sum to 1.

        Raises:
            WeightsError: they are not finite.
        """
        if features is None:
            features = self.features(faces)
        with self._lock:
            probabilities = run_in_batches(self._runtime, faces, features)
        if not np.isfinite(probabilities).all():
            raise WeightsError("The network gives no finite numbers: its weights are of no use")
        return probabilities

    def get_weights(self) -> dict[str, NDArray[Any]]:
        """Return the model's weights and the extractors' states as named arrays."""
        arrays = get_weights(self.model)
        for name, extractor in self.extractors.items():
            for key, array in extractor.get_state().items():
                arrays[f"features/{name}/{key}"] = np.asarray(array)
        return arrays

    def set_weights(self, arrays: Mapping[str, NDArray[Any]], *, where: str) -> None:
        """Take back what get_weights returned.

        Raises:
            WeightsError: they belong to another network.
        """
        weights = dict(arrays)
        for name, extractor in self.extractors.items():
            prefix = f"features/{name}/"
            keys = [key for key in weights if key.startswith(prefix)]
            extractor.set_state({key.removeprefix(prefix): weights.pop(key) for key in keys})
        set_weights(self.model, weights, where=where)
