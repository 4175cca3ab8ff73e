"""A disk cache of arrays that are slow to compute from faces."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.support.files import atomic_write

logger = logging.getLogger("emonet")


def cached(
    folder: Path | None,
    name: str,
    identity: bytes,
    faces: NDArray[np.uint8],
    compute: Callable[[NDArray[np.uint8]], NDArray[Any]],
    *,
    shape: tuple[int, ...],
    dtype: type = np.float32,
) -> NDArray[Any]:
    """Return an array computed from faces, from the cache if possible.

    The file's name ends in a digest of all inputs of the computation, so a file is never out of
    date. ``identity`` holds all inputs other than the faces. A file with another shape or dtype is
    damaged. Without a folder, nothing is cached.
    """
    if folder is None:
        return compute(faces)
    digest = hashlib.sha256(identity + str(faces.shape).encode())
    digest.update(faces.tobytes())
    file = folder / f"{name}-{digest.hexdigest()[:32]}.npy"
    try:
        loaded = np.load(file, allow_pickle=False)
        if loaded.shape == shape and loaded.dtype == dtype:
            return np.asarray(loaded)
        logger.warning("The cache file %s is damaged. Computing its array again", file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError) as error:
        logger.warning("Can't read the cache file %s (%s). Computing its array again", file, error)
    computed = compute(faces)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, computed)
    except OSError as error:
        # A full or write-protected disk must not stop a training run.
        logger.warning("Can't write the cache file %s: %s", file, error)
    return computed
