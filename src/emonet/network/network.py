"""A network: one backbone, any number of feature extractors, one head that fuses them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emonet.config import ComponentConfig, GraphPrecision
from emonet.errors import WeightsError
from emonet.network.batching import run_in_batches
from emonet.network.runtimes import KerasRuntime, OnnxRuntime, Runtime
from emonet.network.weights import get_weights, set_weights
from emonet.plugin import FeatureExtractor

if TYPE_CHECKING:
    import keras

__all__ = [
    "Extractors",
    "KerasNetwork",
    "Network",
    "count_parameters",
    "extractor_identity",
    "extractor_state",
    "graph_weights",
]

#: By name, in the order of the network's inputs.
Extractors = Mapping[str, FeatureExtractor]
#: What a weight's name begins with that is an extractor's state.
STATES = "features/"


class Network:
    """Predicts class probabilities for face crops.

    Attributes:
        extractors: by name, in the order of the network's inputs.
        face_size: (height, width) of the faces that it takes, pixels.
        num_classes: how many probabilities a face gets.
    """

    def __init__(
        self,
        runtime: Runtime,
        extractors: Extractors,
        *,
        face_size: tuple[int, int],
        num_classes: int,
    ) -> None:
        self.extractors = extractors
        self.face_size = face_size
        self.num_classes = num_classes
        self._runtime = runtime

    @classmethod
    def from_graph(
        cls,
        graph: bytes,
        weights: Mapping[str, NDArray[Any]],
        extractors: Extractors,
        *,
        face_size: tuple[int, int],
        num_classes: int,
        precision: GraphPrecision = "float32",
    ) -> "Network":
        """Make a network that needs no Keras from its graph and from what get_weights returned.

        Args:
            graph: an ONNX model that takes its weights as inputs.
            weights: by name, the states of extractors among them.
            extractors: by name, in the order in which the graph takes their vectors.
            face_size: (height, width) of the faces that it takes, pixels.
            num_classes: of its probabilities.
            precision: what the graph computes convolutions in.

        Raises:
            WeightsError: graph and weights don't belong together, or are of another network.
        """
        _set_states(extractors, weights)
        runtime = OnnxRuntime(graph, graph_weights(weights, precision))
        vectors = [(extractor.num_features,) for extractor in extractors.values()]
        if runtime.shapes != [face_size, *vectors, (num_classes,)]:
            raise WeightsError(
                f"The graph is another network's: its inputs and output are {runtime.shapes}, "
                f"config.json says {[face_size, *vectors, (num_classes,)]}"
            )
        return cls(runtime, extractors, face_size=face_size, num_classes=num_classes)

    def predict_proba(
        self, faces: NDArray[np.uint8], features: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Tell the class probabilities of faces.

        Args:
            faces: uint8 (n, height, width); n >= 1.
            features: what each of its extractors makes of them, float32 (n, size).

        Returns:
            float32 (n, classes); rows sum to 1.

        Raises:
            WeightsError: they are not finite.
        """
        probabilities = run_in_batches(self._runtime, faces, features)
        if not np.isfinite(probabilities).all():
            raise WeightsError("The network gives no finite numbers: its weights are of no use")
        return probabilities


class KerasNetwork(Network):
    """A network that can also be trained and exported.

    Attributes:
        model: from faces and feature vectors to probabilities.
        backbone: the part of the model that came from the backbone plugin.
    """

    def __init__(
        self, model: "keras.Model", backbone: "keras.Model", extractors: Extractors
    ) -> None:
        height, width = model.inputs[0].shape[1:]
        super().__init__(
            KerasRuntime(model),
            extractors,
            face_size=(height, width),
            num_classes=int(model.output_shape[-1]),
        )
        self.model = model
        self.backbone = backbone

    def get_weights(self) -> dict[str, NDArray[Any]]:
        """Return the model's weights and the extractors' states as named arrays."""
        arrays = get_weights(self.model)
        for name, extractor in self.extractors.items():
            for key, array in extractor.get_state().items():
                arrays[f"{STATES}{name}/{key}"] = np.asarray(array)
        return arrays

    def set_weights(self, arrays: Mapping[str, NDArray[Any]], *, where: str) -> None:
        """Take back what get_weights returned.

        Raises:
            WeightsError: they belong to another network.
        """
        set_weights(self.model, _set_states(self.extractors, arrays), where=where)


def graph_weights(
    weights: Mapping[str, NDArray[Any]], precision: GraphPrecision
) -> dict[str, NDArray[Any]]:
    """Return those weights that a network's graph is given; one in int8 has its own."""
    if precision == "int8":
        return {}
    return {name: array for name, array in weights.items() if not name.startswith(STATES)}


def count_parameters(weights: Mapping[str, Mapping[str, NDArray[Any]]]) -> int:
    """Return how many numbers networks hold, given their arrays by network and by name."""
    return sum(
        array.size
        for arrays in weights.values()
        for name, array in arrays.items()
        if not name.startswith(STATES)
    )


def extractor_state(weights: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    """Return what a network's weights hold of an extractor's state, as get_state named it."""
    prefix = f"{STATES}{name}/"
    return {
        key.removeprefix(prefix): array for key, array in weights.items() if key.startswith(prefix)
    }


def extractor_identity(part: ComponentConfig, state: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a digest of what decides an extractor's vectors, but for the faces.

    Another release of its package may compute others.
    """
    digest = hashlib.sha256(json.dumps(asdict(part), sort_keys=True).encode())
    for key in sorted(state):
        array = np.ascontiguousarray(state[key])
        digest.update(f"{key} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.digest()


def _set_states(
    extractors: Extractors, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Give every extractor its state back; return the other arrays, which are the model's."""
    weights = dict(arrays)
    for name, extractor in extractors.items():
        state = extractor_state(arrays, name)
        extractor.set_state(state)
        for key in state:
            del weights[f"{STATES}{name}/{key}"]
    return weights
