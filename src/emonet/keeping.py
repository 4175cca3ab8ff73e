"""Arrays that take long to compute: kept on the disk, and found there again."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.files import beside

__all__ = ["kept"]

logger = logging.getLogger("emonet")


def kept(
    file: Path | None, shape: tuple[int, ...], compute: Callable[[], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return an array from its file, which is written first where it is not there.

    Args:
        file: named after all that the array follows from; None keeps nothing.
        shape: of the array; a file with another is damaged.
        compute: returns the array.
    """
    if file is None:
        return compute()
    try:
        found = np.load(file, allow_pickle=False)
        if found.shape == shape and found.dtype == np.float32:
            return np.asarray(found)
        logger.warning("%s is damaged and computed again", file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s can't be read (%s) and is computed again", file, error)
    computed = compute()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with beside(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, computed)
    except OSError as error:
        # The array is what counts; a full or write-protected disk must not end a training.
        logger.warning("%s is not kept: %s", file, error)
    return computed
