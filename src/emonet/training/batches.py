"""Make training batches: shuffled, augmented and mixed, reproducible by seed and epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from emonet.data.augmentation import Augmentation, augment_appearance, augment_geometry
from emonet.plugin import usable_cores
from emonet.training.distillation import TeacherTargets


@dataclass(frozen=True, eq=False)
class Examples:
    """Faces with targets, to train or validate a network on.

    Attributes:
        faces: uint8 (n, height, width).
        targets: float32 (n, classes), rows sum to 1.
        features: float32 (n, size) per feature extractor, of the unchanged faces.
        mirrored_features: the same for the mirrored faces; only training needs them.
        weights: float32 (n,), weight of each face in the loss; None for equal weights.
        teacher_targets: mixes a teacher's probabilities into the targets of each batch; None
            without consistent teaching.
    """

    faces: NDArray[np.uint8]
    targets: NDArray[np.float32]
    features: Sequence[NDArray[np.float32]] = ()
    mirrored_features: Sequence[NDArray[np.float32]] = ()
    weights: NDArray[np.float32] | None = None
    teacher_targets: TeacherTargets | None = None


def smoothed(targets: NDArray[np.float32], smoothing: float) -> NDArray[np.float32]:
    """Return targets with a share, 0..1, spread evenly over all classes."""
    return np.asarray(targets * (1 - smoothing) + smoothing / targets.shape[1], np.float32)


def class_weighted(examples: Examples, labels: NDArray[np.float32], power: float) -> Examples:
    """Return the examples with larger weights for faces of rare classes.

    The weight of a class is ``(n / (classes * faces)) ** power``. The weight of a face is the
    mean over classes by its label. All weights are scaled to a mean of 1. A power of 0 gives all
    faces the same weight, 1 is scikit-learn's "balanced". ``labels``, float32 (n, classes), are
    the targets before label smoothing and distillation.
    """
    # With votes, a class may have less than one face; its weight must stay bounded.
    counts = np.maximum(labels.sum(axis=0, dtype=np.float64), 1)
    weights = labels @ (len(labels) / (len(counts) * counts)) ** power
    return replace(examples, weights=(weights / weights.mean()).astype(np.float32))


#: More threads would be idle: batches wait for the network.
MAX_WORKERS = 8


class TrainingBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of one epoch; an incomplete last batch is left out."""

    def __init__(
        self,
        examples: Examples,
        *,
        batch_size: int,
        augmentation: Augmentation,
        mixup: float,
        seed: int,
        epoch: int,
    ) -> None:
        # With two threads or more, Keras makes batches itself. With fewer, tf.data makes them,
        # and its tuning sleeps for half a minute after every other epoch.
        super().__init__(workers=max(2, min(usable_cores(), MAX_WORKERS)))
        self._examples = examples
        self._augmentation = augmentation
        self._mixup = mixup
        self._seed = (seed, epoch)
        self._rows = epoch_rows(len(examples.faces), batch_size, seed=seed, epoch=epoch)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(
        self, index: int
    ) -> tuple[tuple[NDArray[np.float32], ...], *tuple[NDArray[np.float32], ...]]:
        """Return ((faces, *features), targets) of one batch, then weights if there are any.

        The teacher sees the student's geometry and mixing, but not its changes of brightness
        and contrast, so the student learns to ignore these changes (Beyer et al. 2022).
        """
        random = np.random.default_rng((*self._seed, index))
        rows = self._rows[index]
        moved, mirrored = augment_geometry(self._examples.faces[rows], self._augmentation, random)
        features = [
            np.where(mirrored[:, np.newaxis], flipped[rows], plain[rows])
            for plain, flipped in zip(
                self._examples.features, self._examples.mirrored_features, strict=True
            )
        ]
        parts = [moved.astype(np.float32), *features, self._examples.targets[rows]]
        if self._examples.weights is not None:
            parts.append(self._examples.weights[rows])
        if self._mixup:
            weight = np.float32(random.beta(self._mixup, self._mixup))
            partner = random.permutation(len(rows))
            parts = [weight * part + (1 - weight) * part[partner] for part in parts]
        inputs, faces = 1 + len(features), parts[0]
        if (mix := self._examples.teacher_targets) is not None:
            parts[inputs] = mix(np.rint(faces).astype(np.uint8), parts[inputs])
        augment_appearance(faces, self._augmentation, random)
        return tuple(parts[:inputs]), *parts[inputs:]


def epoch_rows(count: int, batch_size: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the faces of each batch of an epoch, (batches, size), in random order."""
    size = even_size(batch_size, count)
    order = np.random.default_rng((seed, epoch)).permutation(count)
    return order[: count - count % size].reshape(-1, size)


def even_size(batch_size: int, count: int) -> int:
    """Return the largest even size up to ``batch_size`` and the number of faces, at least 1.

    TensorFlow's oneDNN kernels corrupt memory on some odd batch sizes, such as 61 and 63.
    """
    size = min(batch_size, count)
    return max(1, size - size % 2)
