"""Check random seeds."""

from typing import Any

import numpy as np

from emonet.errors import ConfigError

#: The largest seed that every library accepts.
MAX_SEED = 2**32 - 1


def require_seed(function: str, seed: int | np.integer[Any]) -> int:
    """Return a Python or NumPy integer as an int; raise ConfigError for any other seed."""
    number = int(seed) if isinstance(seed, np.integer) else seed
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_SEED:
        raise ConfigError(
            f"{function}: seed must be a whole number in 0..{MAX_SEED}, got {seed!r:.200}"
        )
    return number
