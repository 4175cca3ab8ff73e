"""What takes long to compute from faces: kept on the disk, and found there again."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.files import beside

__all__ = ["cached"]

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
    """Return what is computed from faces, from its file where there is one.

    Args:
        folder: of such files, made when needed; None keeps nothing.
        name: what the file's name begins with. The rest is a digest of all that its array
            follows from, so no file is ever out of date.
        identity: what the array follows from beside the faces.
        faces: uint8 (n, height, width).
        compute: makes the array from the faces.
        shape: of the array; a file with another is damaged.
        dtype: likewise.
    """
    if folder is None:
        return compute(faces)
    digest = hashlib.sha256(identity + str(faces.shape).encode())
    digest.update(faces.tobytes())
    file = folder / f"{name}-{digest.hexdigest()[:32]}.npy"
    try:
        found = np.load(file, allow_pickle=False)
        if found.shape == shape and found.dtype == dtype:
            return np.asarray(found)
        logger.warning("%s is damaged and computed again", file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s can't be read (%s) and is computed again", file, error)
    computed = compute(faces)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with beside(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, computed)
    except OSError as error:
        # The array is what counts; a full or write-protected disk must not end a training.
        logger.warning("%s is not kept: %s", file, error)
    return computed
