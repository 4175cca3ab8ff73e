"""Extract the feature vectors of a data set once, and keep them on disk."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.config import NetworkConfig
from emonet.network.network import Network, extractor_identity
from emonet.support.cache import cached
from emonet.support.progress import progress_bar

#: Faces per cached chunk; an interrupted run loses its current chunk.
CHUNK_FACES = 8192


def extract_all(
    network: Network,
    config: NetworkConfig,
    faces: NDArray[np.uint8],
    cache: Path | None,
    title: str,
) -> list[NDArray[np.float32]]:
    """Return the vectors of uint8 (n, height, width) faces, float32 (n, size) per extractor.

    The cache is a folder that keeps the vectors; the title is the progress bar's.
    """
    features = []
    chunks = [slice(i, i + CHUNK_FACES) for i in range(0, len(faces), CHUNK_FACES)]
    for part in config.features:
        extractor = network.extractors[part.name]
        identity = extractor_identity(part, extractor.get_state())
        vectors = np.empty((len(faces), extractor.num_features), np.float32)
        with progress_bar(f"{title}: {part.name}", len(chunks)) as advance:
            for chunk in chunks:
                shape = vectors[chunk].shape
                vectors[chunk] = cached(
                    cache, part.name, identity, faces[chunk], extractor.transform, shape=shape
                )
                advance()
        features.append(vectors)
    return features
