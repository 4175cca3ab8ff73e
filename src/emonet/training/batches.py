"""Training batches: shuffled, augmented, mixed; the same whenever seed and epoch are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from emonet.data.augmentation import Augmentation, augment_appearance, augment_geometry
from emonet.training.distillation import Ask

__all__ = ["Examples", "TrainingBatches", "class_weighted"]


@dataclass(frozen=True, eq=False)
class Examples:
    """What a network is trained or validated on.

    Attributes:
        faces: uint8 (n, height, width).
        targets: float32 (n, classes), rows sum to 1.
        features: float32 (n, size) per feature extractor, of the faces as they are.
        mirrored_features: likewise, of the mirrored faces; only training needs them.
        weights: float32 (n,), how much each face counts in the loss; None: all alike.
        ask: a teacher, who is asked about the faces of every batch; None where there is none.
    """

    faces: NDArray[np.uint8]
    targets: NDArray[np.float32]
    features: Sequence[NDArray[np.float32]] = ()
    mirrored_features: Sequence[NDArray[np.float32]] = ()
    weights: NDArray[np.float32] | None = None
    ask: Ask | None = None


def class_weighted(examples: Examples, power: float) -> Examples:
    """Return the examples with weights by which faces of rare classes count for more.

    A class weighs ``(n / (classes * faces)) ** power``, where its faces are the sum of its
    column of the targets. A face weighs the mean over classes, by its target; then all are
    scaled to a mean of 1.

    Args:
        examples: whose targets say which classes are rare.
        power: 0 weighs all faces alike, 1 is scikit-learn's "balanced".
    """
    # Soft targets may leave a class less than one face, whose weight must not grow unbounded.
    counts = np.maximum(examples.targets.sum(axis=0, dtype=np.float64), 1)
    weights = examples.targets @ (len(examples.targets) / (len(counts) * counts)) ** power
    return replace(examples, weights=(weights / weights.mean()).astype(np.float32))


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of an Examples; an incomplete last batch is left to the next shuffle."""

    def __init__(
        self,
        examples: Examples,
        *,
        batch_size: int,
        augmentation: Augmentation,
        label_smoothing: float,
        mixup: float,
        seed: int,
        epoch: int,
    ) -> None:
        # From two threads on, Keras makes batches itself. With fewer, tf.data does, and what it
        # tunes itself with may sleep on for half a minute after an epoch (seen: every other one).
        super().__init__(workers=2)
        self._examples = examples
        count = len(examples.faces)
        self._batch_size = even_size(batch_size, count)
        self._augmentation = augmentation
        self._smoothing = label_smoothing
        self._mixup = mixup
        self._seed = (seed, epoch)
        self._order = np.random.default_rng(self._seed).permutation(len(examples.faces))

    def __len__(self) -> int:
        return len(self._order) // self._batch_size

    def __getitem__(
        self, index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], *tuple[NDArray[np.float32], ...]]:
        """Return ((faces, *features), targets) of one batch, and weights where there are some.

        A teacher sees the faces moved and mixed, but not spoilt: the student is to see through
        bad light as if it were not there (Beyer et al. 2022, "consistent teaching").
        """
        random = np.random.default_rng((*self._seed, index))
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        moved, mirrored = augment_geometry(self._examples.faces[rows], self._augmentation, random)
        features = [
            np.where(mirrored[:, np.newaxis], flipped[rows], plain[rows])
            for plain, flipped in zip(
                self._examples.features, self._examples.mirrored_features, strict=True
            )
        ]
        targets = self._examples.targets[rows]
        targets = targets * (1 - self._smoothing) + self._smoothing / targets.shape[1]
        parts = [moved.astype(np.float32), *features, targets.astype(np.float32)]
        if self._examples.weights is not None:
            parts.append(self._examples.weights[rows])
        if self._mixup:
            share = np.float32(random.beta(self._mixup, self._mixup))
            partner = random.permutation(len(rows))
            parts = [share * part + (1 - share) * part[partner] for part in parts]
        inputs, faces = 1 + len(features), parts[0]
        if self._examples.ask is not None:
            parts[inputs] = self._examples.ask(np.rint(faces).astype(np.uint8), parts[inputs])
        augment_appearance(faces, self._augmentation, random)
        return tuple(parts[:inputs]), *parts[inputs:]


def even_size(batch_size: int, count: int) -> int:
    """Return how large batches of so many faces are: as asked for, or what there is.

    TensorFlow's oneDNN kernels corrupt memory on some odd batches (seen: 61 and 63).
    """
    size = min(batch_size, count)
    return max(1, size - size % 2)
