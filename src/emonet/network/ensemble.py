"""Several networks' probabilities -> one distribution, and its calibration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from emonet.config import TestTimeAugmentation
from emonet.network.batching import BATCH_SIZE
from emonet.network.network import Network
from emonet.network.views import views
from emonet.pipeline.crops import FacesBySize

__all__ = ["Ensemble", "apply_temperature"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Ensemble:
    """One or more networks that answer as one.

    Attributes:
        networks: the members.
        weights: of their probabilities, >= 0; need not sum to 1.
        temperature: divides the log-probabilities of the mean.
        augmentation: the views of a face that each member's probabilities are the mean over.
    """

    networks: Sequence[Network]
    weights: Sequence[float]
    temperature: float = 1.0
    augmentation: TestTimeAugmentation = "none"

    def predict_proba(self, faces: FacesBySize) -> NDArray[np.float32]:
        """Map faces to probabilities: the members' weighted mean, calibrated.

        Args:
            faces: uint8 (n, height, width) by the size, for every size that a member needs.

        Returns:
            float32 (n, classes) whose rows sum to 1.
        """
        members = self.members_proba(faces)
        mean = members[0]
        if len(members) > 1:
            mean = np.average(members, axis=0, weights=self.weights).astype(np.float32)
        return apply_temperature(mean, self.temperature)

    def members_proba(self, faces: FacesBySize) -> list[NDArray[np.float32]]:
        """Return every member's own float32 (n, classes), the mean over the views."""
        count = len(next(iter(faces.values())))
        if not count or self.augmentation == "none":
            return self._members_proba(faces)
        groups = [self._members_proba(group) for group in self._views(faces, count)]
        return [
            np.concatenate(parts).reshape(-1, count, parts[0].shape[-1]).mean(axis=0)
            for parts in zip(*groups, strict=True)
        ]

    def _views(self, faces: FacesBySize, count: int) -> Iterator[FacesBySize]:
        """Yield the views of so many faces, as many behind each other as make one batch.

        Faces of every size are changed alike.
        """
        by_size = (views(crops, self.augmentation) for crops in faces.values())
        every = zip(*by_size, strict=True)
        while group := list(islice(every, max(1, BATCH_SIZE // count))):
            yield dict(zip(faces, map(np.concatenate, zip(*group, strict=True)), strict=True))

    def _members_proba(self, faces: FacesBySize) -> list[NDArray[np.float32]]:
        """Return every member's float32 (n, classes) for faces as they are.

        Members that have an extractor and a face size in common share its vectors.
        """
        vectors: dict[tuple[int, tuple[int, int]], NDArray[np.float32]] = {}
        members = []
        for network in self.networks:
            crops = faces[network.face_size]
            if not len(crops):
                members.append(np.empty((0, network.num_classes), np.float32))
                continue
            features = []
            for extractor in network.extractors.values():
                key = (id(extractor), network.face_size)
                if key not in vectors:
                    vectors[key] = extractor.transform(crops)
                features.append(vectors[key])
            members.append(network.predict_proba(crops, features))
        return members


def apply_temperature(
    probabilities: NDArray[np.float32], temperature: float
) -> NDArray[np.float32]:
    """Divide the log-probabilities by a temperature (Guo et al. 2017); rows sum to 1 again."""
    if temperature == 1.0:
        return probabilities
    powers = np.power(probabilities, 1 / temperature)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
