"""Knowledge distillation (Hinton et al. 2015): training targets that a teacher has a say in."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from emonet.cache import cached
from emonet.composition import without_releases
from emonet.data import FaceDataset
from emonet.errors import ConfigError
from emonet.plugin import require_choice, require_number
from emonet.training.progress import progress_bar
from emonet.training.start import Learnt, weights_digest

__all__ = ["Ask", "Distillation", "TeacherRecord", "TeacherSees"]

logger = logging.getLogger("emonet")

CHUNK_FACES = 1024

#: The training faces as they are, once; or what the student sees, batch by batch.
TeacherSees = Literal["faces", "batches"]
#: Maps uint8 (n, height, width) faces and their targets to what is to be learnt of them.
Ask = Callable[[NDArray[np.uint8], NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherRecord:
    """Which teacher a network learnt from, and how much of its targets.

    Attributes:
        networks: the teacher's.
        share: of the teacher's probabilities in the targets, 0..1; the rest is the labels.
        test_time_augmentation: the views that the teacher averaged over.
        files: SHA-256 of its weights files by name, where it was loaded from files.
        sees: ``faces`` or ``batches``, see Distillation.
    """

    networks: tuple[str, ...]
    share: float
    test_time_augmentation: str = "none"
    files: Mapping[str, str] = field(default_factory=dict)
    sees: TeacherSees = "faces"


@dataclass(frozen=True, eq=False)
class Distillation:
    """A teacher and its share of the targets.

    Attributes:
        teacher: whose probabilities are learnt from.
        share: of them in the targets, 0..1; the rest is the labels.
        sees: ``faces``: the teacher is asked about the training faces once, as they are;
            ``batches``: about every batch, its faces moved and mixed as the student sees them
            (Beyer et al. 2022, arXiv 2106.05237), which takes longer and can't be learnt by heart.
    """

    teacher: Learnt
    share: float
    sees: TeacherSees = "faces"

    def __post_init__(self) -> None:
        """Refuse a share that is none.

        Raises:
            ConfigError: it is not in 0..1, or the teacher is to see something else.
        """
        require_choice("distillation", "teacher_sees", self.sees, get_args(TeacherSees))
        require_number("distillation", "teacher_share", self.share, 0, 1)

    def targets_for(self, train: FaceDataset, cache: Path | None) -> FaceDataset:
        """Return the faces with ``(1 - share) * label + share * probabilities`` as votes.

        Args:
            train: what the student learns from.
            cache: a folder where the probabilities are kept, to be found there again.

        Raises:
            ConfigError: the teacher tells other labels apart.
        """
        order = _columns(self.teacher.config.labels, train.labels)
        said = self._probabilities(train.images, cache)[:, order]
        return replace(train, votes=self._mixed(train.targets, said))

    def asked_in(self, labels: tuple[str, ...]) -> Ask:
        """Return what asks the teacher about faces whose targets have these labels.

        Raises:
            ConfigError: the teacher tells other labels apart.
        """
        order = _columns(self.teacher.config.labels, labels)

        def ask(faces: NDArray[np.uint8], targets: NDArray[np.float32]) -> NDArray[np.float32]:
            return self._mixed(targets, self.teacher.predict_proba(faces)[:, order])

        return ask

    def identity(self) -> dict[str, object]:
        """Return what a run that asks batch by batch is told apart by."""
        return {"share": self.share, "sees": self.sees, "teacher": self._digest()}

    def _mixed(
        self, targets: NDArray[np.float32], said: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return ((1 - self.share) * targets + self.share * said).astype(np.float32)

    def describe(self) -> TeacherRecord:
        """Return what the training record says about it."""
        config = self.teacher.config
        return TeacherRecord(
            networks=tuple(network.name for network in config.networks),
            share=self.share,
            test_time_augmentation=config.test_time_augmentation,
            files={
                name: digest
                for name, digest in config.files.items()
                if name.endswith(".safetensors")
            },
            sees=self.sees,
        )

    def _probabilities(self, faces: NDArray[np.uint8], cache: Path | None) -> NDArray[np.float32]:
        """Ask the teacher, unless it was asked about these faces before."""
        shape = (len(faces), len(self.teacher.config.labels))

        def ask(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
            logger.info("Asking the teacher about %d faces", len(faces))
            said = np.empty(shape, np.float32)
            starts = range(0, len(faces), CHUNK_FACES)
            with progress_bar("Teacher", len(starts)) as advance:
                for start in starts:
                    chunk = slice(start, start + CHUNK_FACES)
                    said[chunk] = self.teacher.predict_proba(faces[chunk])
                    advance()
            return said

        return cached(cache, "teacher", self._digest().encode(), faces, ask, shape=shape)

    def _digest(self) -> str:
        """Return a SHA-256 over all that the teacher's answers follow from."""
        config = without_releases(self.teacher.config)
        answers = {
            "networks": [asdict(network) for network in config.networks],
            "labels": config.labels,
            "temperature": config.temperature,
            "test_time_augmentation": config.test_time_augmentation,
            "runtimes": self.teacher.runtimes,
            "weights": weights_digest(self.teacher.weights),
        }
        return hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()


def _columns(teacher: tuple[str, ...], student: tuple[str, ...]) -> list[int]:
    """Return the teacher's column for each of the student's labels."""
    if set(teacher) != set(student):
        raise ConfigError(
            f"A teacher must have the same labels: it has {', '.join(teacher)}, the data have "
            f"{', '.join(student)}"
        )
    return [teacher.index(label) for label in student]
