"""Feature vectors of a data set: computed once, kept on the disk, and found there again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.config import ComponentConfig, NetworkConfig
from emonet.keeping import kept
from emonet.network.network import Network
from emonet.plugin import FeatureExtractor
from emonet.training.progress import progress_bar

__all__ = ["extract_all"]

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
            shape = (len(faces[chunk]), extractor.num_features)
            vectors[chunk] = kept(file, shape, partial(extractor.transform, faces[chunk]))
            advance()
    return vectors


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
