"""Network: one backbone, any number of feature extractors, and one head that fuses them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import ComponentConfig, GraphPrecision
from emonet.errors import WeightsError
from emonet.model import STATES
from emonet.network.weights import get_weights, set_weights
from emonet.plugin import FeatureExtractor
from emonet.runtimes.base import Runtime
from emonet.runtimes.batching import BATCH_SIZE, run_in_batches
from emonet.runtimes.keras_runtime import KerasRuntime

if TYPE_CHECKING:
    import keras

#: How far probabilities may be outside 0..1, and their sums from 1: float16 needs about this much.
TOLERANCE = 1e-3

#: Feature extractors by name, in the order of the network's inputs.
Extractors = Mapping[str, FeatureExtractor]


class Network:
    """Predicts class probabilities for face crops.

    Attributes:
        extractors: feature extractors by name, in the order of the network's inputs.
        face_size: (height, width) of the faces, pixels.
        num_classes: number of classes.
        name: the network's name in error messages.
    """

    def __init__(
        self,
        runtime: Runtime,
        extractors: Extractors,
        *,
        face_size: tuple[int, int],
        num_classes: int,
        name: str,
    ) -> None:
        self.name = name
        self.extractors = extractors
        self.face_size = face_size
        self.num_classes = num_classes
        self._runtime = runtime

    def predict_proba(
        self,
        faces: NDArray[np.uint8],
        features: Sequence[NDArray[np.float32]],
        batch_size: int = BATCH_SIZE,
    ) -> NDArray[np.float32]:
        """Return the class probabilities of faces.

        Args:
            faces: uint8 (n, height, width); n >= 1.
            features: the vectors of each feature extractor for the faces, float32 (n, size).
            batch_size: the most faces that the network computes at once.

        Returns:
            float32 (n, classes), 0..1; rows sum to 1, up to TOLERANCE.

        Raises:
            WeightsError: the network returns anything else, such as NaN or logits.
        """
        return run_in_batches(self._checked, faces, features, batch_size)

    def _checked(
        self, faces: NDArray[np.float32], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Run one batch, and check that the answers are probabilities."""
        answers = self._runtime(faces, features)
        expected = (len(faces), self.num_classes)
        if answers.dtype.kind != "f" or answers.shape != expected:
            raise self._error(
                f"{answers.dtype} of shape {answers.shape} instead of float32 of shape {expected}"
            )
        if not np.isfinite(answers).all():
            raise self._error("NaN or infinity")
        low, high = float(answers.min()), float(answers.max())
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise self._error(f"values from {low:.4g} to {high:.4g} instead of 0 to 1")
        sums = answers.sum(axis=1, dtype=np.float64)
        if np.abs(sums - 1).max() > TOLERANCE:
            raise self._error(f"rows that sum to {sums.min():.4g} to {sums.max():.4g} instead of 1")
        # A temperature would make NaN of numbers below 0.
        return answers.astype(np.float32, copy=False).clip(0, 1)

    def _error(self, received: str) -> WeightsError:
        return WeightsError(
            f"The network {self.name} returns no probabilities, but {received}. Train it or load "
            f"another model"
        )


class KerasNetwork(Network):
    """A network that can also be trained and exported.

    Attributes:
        model: maps faces and feature vectors to probabilities.
        backbone: the part of the model that the backbone plugin built.
    """

    def __init__(
        self, model: "keras.Model", backbone: "keras.Model", extractors: Extractors, *, name: str
    ) -> None:
        height, width = model.inputs[0].shape[1:]
        super().__init__(
            KerasRuntime(model),
            extractors,
            face_size=(height, width),
            num_classes=int(model.output_shape[-1]),
            name=name,
        )
        self.model = model
        self.backbone = backbone

    def get_weights(self) -> dict[str, NDArray[Any]]:
        """Return the model's weights and the extractors' states as arrays by name."""
        arrays = get_weights(self.model)
        for name, extractor in self.extractors.items():
            for key, array in extractor.get_state().items():
                arrays[f"{STATES}{name}/{key}"] = np.asarray(array)
        return arrays

    def set_weights(self, arrays: Mapping[str, NDArray[Any]], *, where: str) -> None:
        """Load the arrays that get_weights returned; ``where`` names them in error messages.

        Raises:
            WeightsError: the arrays belong to another network.
        """
        set_weights(self.model, set_states(self.extractors, arrays), where=where)


def graph_weights(
    weights: Mapping[str, NDArray[Any]], precision: GraphPrecision
) -> dict[str, NDArray[Any]]:
    """Return the weights to load into a network's graph; none for int8 graphs, which hold them."""
    if precision == "int8":
        return {}
    return {name: array for name, array in weights.items() if not name.startswith(STATES)}


def extractor_state(weights: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """Return an extractor's state from a network's weights, with the names of get_state."""
    prefix = f"{STATES}{name}/"
    return {
        key.removeprefix(prefix): array for key, array in weights.items() if key.startswith(prefix)
    }


def extractor_identity(part: ComponentConfig, state: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a SHA-256 digest of an extractor's configuration, release and state.

    Extractors with equal digests compute equal vectors for the same faces.
    """
    digest = hashlib.sha256(json.dumps(asdict(part), sort_keys=True).encode())
    for key in sorted(state):
        array = np.ascontiguousarray(state[key])
        digest.update(f"{key} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.digest()


def set_states(
    extractors: Extractors, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Load every extractor's state; return the other arrays, which are the model's weights."""
    weights = dict(arrays)
    for name, extractor in extractors.items():
        state = extractor_state(arrays, name)
        extractor.set_state(state)
        for key in state:
            del weights[f"{STATES}{name}/{key}"]
    return weights
