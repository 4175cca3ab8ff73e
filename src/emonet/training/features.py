"""Feature vectors of a data set: computed once, kept on the disk, and found there again."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.config import ComponentConfig, NetworkConfig
from emonet.files import beside
from emonet.network.network import Network
from emonet.plugin import FeatureExtractor
from emonet.training.progress import progress_bar

__all__ = ["extract_all"]

logger = logging.getLogger("emonet")

#: A run that is killed loses the chunk that it was at.
CHUNK_FACES = 8192


def extract_all(
    network: Network,
    config: NetworkConfig,
    faces: NDArray[np.uint8],
    cache: Path | None,
    title: str,
) -> list[NDArray[np.float32]]:
    """Run a network's feature extractors on many faces.

    Args:
        network: whose extractors are meant.
        config: their names, settings and versions.
        faces: uint8 (n, height, width).
        cache: a folder for the vectors, made when needed; None keeps nothing. A file there is
            named after what its vectors were computed from, so no file is ever out of date.
        title: of the progress bar.

    Returns:
        For every extractor, float32 (n, size).
    """
    return [
        _extract(part, network.extractors[part.name], faces, cache, f"{title}: {part.name}")
        for part in config.features
    ]


def _extract(
    part: ComponentConfig,
    extractor: FeatureExtractor,
    faces: NDArray[np.uint8],
    cache: Path | None,
    title: str,
) -> NDArray[np.float32]:
    vectors = np.empty((len(faces), extractor.num_features), np.float32)
    identity = _identity(part, extractor.get_state())
    chunks = [slice(i, i + CHUNK_FACES) for i in range(0, len(faces), CHUNK_FACES)]
    with progress_bar(title, len(chunks)) as advance:
        for chunk in chunks:
            file = cache and cache / f"{part.name}-{_key(identity, faces[chunk])}.npy"
            vectors[chunk] = _kept(file, extractor, faces[chunk])
            advance()
    return vectors


def _kept(
    file: Path | None, extractor: FeatureExtractor, faces: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return vectors from their file, which is written first where it is not there."""
    if file is None:
        return extractor.transform(faces)
    try:
        vectors = np.load(file, allow_pickle=False)
        if vectors.shape == (len(faces), extractor.num_features) and vectors.dtype == np.float32:
            return np.asarray(vectors)
        logger.warning("%s is damaged; its features are computed again", file)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s can't be read (%s); its features are computed again", file, error)
    computed = extractor.transform(faces)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with beside(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, computed)
    except OSError as error:
        # The vectors are what counts; a full or write-protected disk must not end a training.
        logger.warning("Features are not kept: %s", error)
    return computed


def _identity(part: ComponentConfig, state: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return what decides an extractor's vectors, but for the faces."""
    digest = hashlib.sha256(json.dumps(asdict(part), sort_keys=True).encode())
    for key in sorted(state):
        digest.update(key.encode() + np.ascontiguousarray(state[key]).tobytes())
    return digest.digest()


def _key(identity: bytes, faces: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(identity + str(faces.shape).encode())
    digest.update(faces.tobytes())
    return digest.hexdigest()[:32]
