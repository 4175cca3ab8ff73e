"""Where training starts: at the weights of a network that has learnt already."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emonet.config import RecognizerConfig
from emonet.errors import ConfigError
from emonet.network.network import KerasNetwork
from emonet.network.weights import OUTPUT_LAYER, adapt_output

__all__ = ["Learnt", "give_weights", "weights_digest"]


class Learnt(Protocol):
    """What has learnt: a recognizer."""

    @property
    def config(self) -> RecognizerConfig:
        """Its configuration, with the labels in the order of its columns."""
        ...

    @property
    def weights(self) -> Mapping[str, Mapping[str, NDArray[Any]]]:
        """Its arrays by network and by layer."""
        ...

    @property
    def runtimes(self) -> Mapping[str, str]:
        """What carries out each network."""
        ...

    def predict_proba(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map uint8 (n, height, width) faces to float32 (n, classes)."""
        ...


def give_weights(network: KerasNetwork, learnt: Learnt, labels: Sequence[str]) -> None:
    """Give a network the weights of a recognizer's only one.

    Args:
        network: gets them; its last layer stays as it is if the recognizer has other labels.
        learnt: the recognizer.
        labels: the network's, in column order.

    Raises:
        ConfigError: it has several networks.
        WeightsError: its network is built otherwise.
    """
    if len(learnt.weights) != 1:
        raise ConfigError(
            f"Training starts from one network, got an ensemble of {len(learnt.weights)}: "
            f"{', '.join(learnt.weights)}. Of the bundled models, fast and tiny have one"
        )
    (weights,) = learnt.weights.values()
    known = learnt.config.labels
    if set(known) == set(labels):
        weights = adapt_output(weights, [known.index(label) for label in labels], 1.0)
    else:
        last = f"head/{OUTPUT_LAYER}/"
        own = network.get_weights()
        weights = {**weights, **{name: own[name] for name in own if name.startswith(last)}}
    network.set_weights(weights, where="the model to start from")


def weights_digest(weights: Mapping[str, Mapping[str, NDArray[Any]]]) -> str:
    """Return a SHA-256 over the arrays of networks by name: equal digests are equal weights."""
    digest = hashlib.sha256()
    for network, arrays in sorted(weights.items()):
        for name, array in sorted(arrays.items()):
            digest.update(f"{network}/{name}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
