"""Several networks' probabilities -> one distribution, and its calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emonet.network.network import Network

__all__ = ["Ensemble", "calibrate", "weighted_mean"]


class Ensemble:
    """One or more networks that answer as one.

    Args:
        networks: the members.
        weights: of their probabilities, >= 0; need not sum to 1.
        temperature: divides the log-probabilities of the mean.
    """

    def __init__(
        self, networks: Sequence[Network], weights: Sequence[float], temperature: float
    ) -> None:
        self._networks = networks
        self._weights = weights
        self._temperature = temperature

    def predict_proba(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map uint8 (n, height, width) faces to calibrated float32 (n, classes)."""
        if not len(faces):
            return np.empty((0, self._networks[0].num_classes), np.float32)
        members = [network.predict_proba(faces) for network in self._networks]
        mean = weighted_mean(members, self._weights) if len(members) > 1 else members[0]
        return calibrate(mean, self._temperature)


def weighted_mean(
    probabilities: Sequence[NDArray[np.float32]], weights: Sequence[float]
) -> NDArray[np.float32]:
    """Return the mean of (n, classes) probabilities; weights need not sum to 1."""
    mean = np.average(np.stack(probabilities), axis=0, weights=weights)
    return np.asarray(mean, np.float32)


def calibrate(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Divide the log-probabilities by a temperature (Guo et al. 2017); rows sum to 1 again."""
    if temperature == 1.0:
        return probabilities
    powers = np.power(probabilities, 1 / temperature)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
