"""Seeds of whatever is drawn."""

from typing import Any

import numpy as np

from emonet.plugin import require_number

__all__ = ["require_seed"]

#: What every library that draws takes.
MAX_SEED = 2**32 - 1


def require_seed(function: str, seed: int | np.integer[Any]) -> int:
    """Return a seed as Python's own integer; numpy's are taken too.

    Raises:
        ConfigError: it is no whole number of 0 to 2**32 - 1; names the function.
    """
    number = int(seed) if isinstance(seed, np.integer) else seed
    require_number(function, "seed", number, 0, MAX_SEED, whole=True)
    return number
