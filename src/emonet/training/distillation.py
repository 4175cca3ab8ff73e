"""Knowledge distillation (Hinton et al. 2015): a teacher's probabilities in the targets.

A target is ``(1 - weight) * label + weight * probabilities``. If the recipe smooths labels, it
smooths the label first, with both kinds of teaching.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from emonet.assembly.components import without_releases
from emonet.assembly.sessions import Sessions
from emonet.data import FaceDataset
from emonet.errors import ConfigError
from emonet.plugin import require_choice, require_number
from emonet.records import TeacherRecord, Teaching
from emonet.support.cache import cached
from emonet.support.progress import progress_bar
from emonet.training.warm_start import weights_digest

logger = logging.getLogger("emonet")

CHUNK_FACES = 1024

#: Maps uint8 (n, height, width) faces and the targets of their labels to mixed targets.
TeacherTargets = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Distillation:
    """A teacher and its weight in the targets.

    Attributes:
        teacher: predicts the probabilities to learn from.
        weight: weight of its probabilities in the targets, 0..1.
        teaching: ``fixed``: the teacher sees each training face once, unchanged. ``consistent``:
            it sees every batch with the student's geometry and mixing, without its changes of
            brightness and contrast (Beyer et al. 2022, arXiv 2106.05237). This takes longer, and
            the student can't memorise the probabilities.
    """

    teacher: Sessions
    weight: float
    teaching: Teaching = "fixed"

    def __post_init__(self) -> None:
        """Raise ConfigError if the weight is not in 0..1, or there is no such teaching."""
        require_choice("distillation", "teaching", self.teaching, get_args(Teaching))
        require_number("distillation", "teacher_weight", self.weight, 0, 1)

    def fixed_targets(self, train: FaceDataset, cache: Path | None) -> FaceDataset:
        """Return the training faces with mixed targets as votes.

        The cache is a folder that keeps the probabilities, so that a resumed run reads them.
        """
        order = _columns(self.teacher.model.config.labels, train.labels)
        soft_labels = self._probabilities(train.images, cache)[:, order]
        return replace(train, votes=self._mixed(train.targets, soft_labels))

    def teacher_targets(self, labels: tuple[str, ...]) -> TeacherTargets:
        """Return the function that mixes the targets of a batch, given the targets' labels."""
        order = _columns(self.teacher.model.config.labels, labels)

        def mix(faces: NDArray[np.uint8], targets: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._mixed(targets, self.teacher.predict_proba(faces)[:, order])

        return mix

    def identity(self) -> dict[str, object]:
        """Return the values that identify a run with consistent teaching."""
        return {"weight": self.weight, "teaching": self.teaching, "teacher": self._digest()}

    def describe(self) -> TeacherRecord:
        """Return the record of the teacher."""
        config = self.teacher.model.config
        return TeacherRecord(
            networks=tuple(network.name for network in config.networks),
            weight=self.weight,
            test_time_augmentation=config.test_time_augmentation,
            files={
                name: digest
                for name, digest in config.files.items()
                if name.endswith(".safetensors")
            },
            teaching=self.teaching,
        )

    def _mixed(
        self, targets: NDArray[np.float32], soft_labels: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return ((1 - self.weight) * targets + self.weight * soft_labels).astype(np.float32)

    def _probabilities(self, faces: NDArray[np.uint8], cache: Path | None) -> NDArray[np.float32]:
        """Return the teacher's probabilities, from the cache if they are there."""
        shape = (len(faces), len(self.teacher.model.config.labels))

        def predict(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            logger.info("The teacher predicts %d faces", len(faces))
            soft_labels = np.empty(shape, np.float32)
            starts = range(0, len(faces), CHUNK_FACES)
            with progress_bar("Teacher", len(starts)) as advance:
                for start in starts:
                    chunk = slice(start, start + CHUNK_FACES)
                    soft_labels[chunk] = self.teacher.predict_proba(faces[chunk])
                    advance()
            return soft_labels

        return cached(cache, "teacher", self._digest().encode(), faces, predict, shape=shape)

    def _digest(self) -> str:
        """Return a SHA-256 over everything that affects the teacher's probabilities."""
        config = without_releases(self.teacher.model.config)
        identity = {
            "networks": [asdict(network) for network in config.networks],
            "labels": config.labels,
            "temperature": config.temperature,
            "class_factors": config.class_factors,
            "test_time_augmentation": config.test_time_augmentation,
            "runtimes": self.teacher.runtimes,
            "weights": weights_digest(self.teacher.model.weights),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _columns(teacher: tuple[str, ...], student: tuple[str, ...]) -> list[int]:
    """Return the teacher's column for each label; raise ConfigError if the labels differ."""
    if set(teacher) != set(student):
        raise ConfigError(
            f"A teacher must have the labels of the data: it has {', '.join(teacher)}, the data "
            f"have {', '.join(student)}"
        )
    return [teacher.index(label) for label in student]
