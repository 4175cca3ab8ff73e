"""Feature vectors of a data set: computed once, kept on the disk, and found there again."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.cache import cached
from emonet.config import ComponentConfig, NetworkConfig
from emonet.network.network import Network, extractor_identity
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
        cache: a folder for the vectors; None keeps nothing.
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
    identity = extractor_identity(part, extractor.get_state())
    chunks = [slice(i, i + CHUNK_FACES) for i in range(0, len(faces), CHUNK_FACES)]
    with progress_bar(title, len(chunks)) as advance:
        for chunk in chunks:
            shape = vectors[chunk].shape
            vectors[chunk] = cached(
                cache, part.name, identity, faces[chunk], extractor.transform, shape=shape
            )
            advance()
    return vectors
