"""Start training from the weights of a trained model."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from emonet.errors import ConfigError
from emonet.model import Model, Weights
from emonet.network.network import KerasNetwork
from emonet.network.weights import OUTPUT_LAYER, adapt_output


def copy_weights(source: Model, network: KerasNetwork, labels: Sequence[str]) -> None:
    """Copy the weights of a model of one network into a network with these labels.

    If the model has other labels, the network's output layer stays as it is.
    """
    if len(source.weights) != 1:
        raise ConfigError(
            f"start_from needs a model of one network, got an ensemble of {len(source.weights)}: "
            f"{', '.join(source.weights)}. Of the bundled models, use fast or tiny"
        )
    (weights,) = source.weights.values()
    known = source.config.labels
    if set(known) == set(labels):
        weights = adapt_output(weights, [known.index(label) for label in labels], 1.0)
    else:
        last = f"head/{OUTPUT_LAYER}/"
        own = network.get_weights()
        weights = {**weights, **{name: own[name] for name in own if name.startswith(last)}}
    network.set_weights(weights, where="The model of start_from")


def weights_digest(weights: Mapping[str, Weights]) -> str:
    """Return a SHA-256 over arrays of networks by name: equal digests mean equal weights."""
    digest = hashlib.sha256()
    for network, arrays in sorted(weights.items()):
        for name, array in sorted(arrays.items()):
            digest.update(f"{network}/{name}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
