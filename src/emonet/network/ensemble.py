"""Several networks' probabilities -> one distribution, and its calibration."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["calibrate", "weighted_mean"]


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
