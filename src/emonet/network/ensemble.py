"""Ensemble: the weighted mean of networks' probabilities, and its calibration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from emonet.config import TestTimeAugmentation
from emonet.network.network import Network
from emonet.network.views import views
from emonet.pipeline.crops import FacesBySize
from emonet.runtimes.batching import BATCH_SIZE


@dataclass(frozen=True, eq=False, kw_only=True)
class Ensemble:
    """One or more networks, whose probabilities are averaged.

    Attributes:
        networks: the members.
        weights: each member's weight, >= 0; the weights need not sum to 1.
        temperature: divides the log-probabilities of the mean.
        class_factors: multiply the calibrated probabilities, by class; None for none.
        augmentation: test-time augmentation; each member's probabilities are averaged over views.
        batch_size: the most faces that a network computes at once.
    """

    networks: Sequence[Network]
    weights: Sequence[float]
    temperature: float = 1.0
    class_factors: Sequence[float] | None = None
    augmentation: TestTimeAugmentation = "none"
    batch_size: int = BATCH_SIZE

    def predict_proba(self, faces: FacesBySize) -> NDArray[np.float32]:
        """Return the calibrated, weighted mean of the members' probabilities.

        Args:
            faces: uint8 (n, height, width) by size, for every size that a member needs.

        Returns:
            float32 (n, classes) whose rows sum to 1.
        """
        return self.combine(self.members_proba(faces))

    def combine(self, members: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the calibrated, weighted mean of float32 (n, classes) of each member."""
        mean = members[0]
        if len(members) > 1:
            mean = np.average(members, axis=0, weights=self.weights).astype(np.float32)
        return apply_factors(apply_temperature(mean, self.temperature), self.class_factors)

    def members_proba(self, faces: FacesBySize) -> list[NDArray[np.float32]]:
        """Return each member's float32 (n, classes) probabilities, averaged over the views."""
        count = len(next(iter(faces.values())))
        if not count or self.augmentation == "none":
            return self._members_proba(faces)
        batches = [self._members_proba(batch) for batch in self._view_batches(faces, count)]
        return [
            np.concatenate(parts).reshape(-1, count, parts[0].shape[-1]).mean(axis=0)
            for parts in zip(*batches, strict=True)
        ]

    def _view_batches(self, faces: FacesBySize, count: int) -> Iterator[FacesBySize]:
        """Yield the views of ``count`` faces, concatenated until they fill a batch.

        Each view changes the faces of every size in the same way.
        """
        by_size = (views(crops, self.augmentation) for crops in faces.values())
        all_views = zip(*by_size, strict=True)
        while batch := list(islice(all_views, max(1, self.batch_size // count))):
            yield dict(zip(faces, map(np.concatenate, zip(*batch, strict=True)), strict=True))

    def _members_proba(self, faces: FacesBySize) -> list[NDArray[np.float32]]:
        """Return each member's float32 (n, classes) probabilities of one view."""
        if not len(next(iter(faces.values()))):
            return [np.empty((0, network.num_classes), np.float32) for network in self.networks]
        return [
            network.predict_proba(faces[network.face_size], list(vectors.values()), self.batch_size)
            for network, vectors in zip(self.networks, self.vectors(faces), strict=True)
        ]

    def vectors(self, faces: FacesBySize) -> list[dict[str, NDArray[np.float32]]]:
        """Return each member's vectors of the faces, (n, size), by its extractors' names.

        Members with the same extractor and face size share the extractor's vectors.
        """
        computed: dict[tuple[int, tuple[int, int]], NDArray[np.float32]] = {}
        members = []
        for network in self.networks:
            size, vectors = network.face_size, {}
            for name, extractor in network.extractors.items():
                key = (id(extractor), size)
                if key not in computed:
                    computed[key] = extractor.transform(faces[size])
                vectors[name] = computed[key]
            members.append(vectors)
        return members


def apply_temperature(
    probabilities: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Divide log-probabilities by a temperature (Guo et al. 2017) and normalise the rows."""
    if temperature == 1.0:
        return probabilities
    powers = np.power(probabilities, 1 / temperature)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def apply_factors(
    probabilities: NDArray[np.float32], factors: Sequence[float] | None
) -> NDArray[np.float32]:
    """Multiply each class by its factor and normalise the rows; None changes nothing."""
    if factors is None:
        return probabilities
    weighted = probabilities.astype(np.float64) * np.array(factors)
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True), np.float32)
