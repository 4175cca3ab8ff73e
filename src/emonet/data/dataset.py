"""The one form in which labelled faces reach training and evaluation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.data.fer2013 import read_fer2013
from emonet.data.folders import read_folder
from emonet.data.splits import TRAINING
from emonet.errors import ConfigError, DataError
from emonet.pipeline.crops import faces_by_size
from emonet.plugin import require_number, require_size

__all__ = ["FaceDataset", "Labelled", "as_dataset", "load_dataset"]


@dataclass(frozen=True, eq=False)
class FaceDataset:
    """Grey face crops with their classes.

    Attributes:
        images: uint8 (n, height, width).
        classes: int64 (n,), indices into ``labels``.
        labels: the label set, in the order of the indices.
        votes: float32 (n, len(labels)) soft labels whose rows sum to 1, or None.
        shrunk: whether there were more pixels to be had: larger pictures in the folder.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    labels: tuple[str, ...]
    votes: NDArray[np.float32] | None = None
    shrunk: bool = False

    def __post_init__(self) -> None:
        """Refuse arrays that don't belong together.

        Raises:
            DataError: wrong dtype or shape, a class outside the label set, or a label twice.
        """
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(set(self.labels)) < len(self.labels):
            raise DataError(f"labels must differ from each other, got {', '.join(self.labels)}")
        for name in ("images", "classes", "votes"):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.asarray(values))
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise DataError(
                f"images must be uint8 (n, height, width), "
                f"got {self.images.dtype} {self.images.shape}"
            )
        if self.classes.shape != (len(self.images),):
            raise DataError(
                f"classes must have shape ({len(self.images)},), got {self.classes.shape}"
            )
        if not np.issubdtype(self.classes.dtype, np.integer):
            raise DataError(f"classes must be integers, got {self.classes.dtype}")
        shape = (len(self.images), len(self.labels))
        if self.votes is not None and self.votes.shape != shape:
            raise DataError(f"votes must have shape {shape}, got {self.votes.shape}")
        if self.votes is not None and not (
            (self.votes >= 0).all() and np.allclose(self.votes.sum(axis=1), 1, atol=1e-3)
        ):
            raise DataError("votes must be shares: none below 0, and each row's sum 1")
        if len(self.classes) and not (
            self.classes.min() >= 0 and self.classes.max() < len(self.labels)
        ):
            raise DataError(
                f"classes must be 0..{len(self.labels) - 1} for the labels {self.labels}, "
                f"got {self.classes.min()}..{self.classes.max()}"
            )
        object.__setattr__(self, "classes", self.classes.astype(np.int64, copy=False))
        if self.votes is not None:
            object.__setattr__(self, "votes", self.votes.astype(np.float32, copy=False))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def targets(self) -> NDArray[np.float32]:
        """float32 (n, len(labels)): the votes, or one-hot classes where there are none."""
        if self.votes is not None:
            return self.votes
        return np.eye(len(self.labels), dtype=np.float32)[self.classes]

    def subset(self, indices: NDArray[np.int64]) -> "FaceDataset":
        """Return the rows at these indices, integers (k,), in their order."""
        votes = None if self.votes is None else self.votes[indices]
        return replace(
            self, images=self.images[indices], classes=self.classes[indices], votes=votes
        )

    def with_labels(self, labels: tuple[str, ...]) -> "FaceDataset":
        """Return the same faces with indices into a label set that has all of theirs, and more.

        Raises:
            DataError: one of the labels is not in it.
        """
        if not set(self.labels) <= set(labels):
            raise DataError(
                f"The data have the labels {', '.join(self.labels)}; "
                f"the recognizer's are {', '.join(labels)}"
            )
        columns = np.array([labels.index(label) for label in self.labels])
        votes = None
        if self.votes is not None:
            votes = np.zeros((len(self), len(labels)), np.float32)
            votes[:, columns] = self.votes
        return replace(self, classes=columns[self.classes], labels=labels, votes=votes)

    def hold_out(self, fraction: float, *, seed: int = 0) -> "tuple[FaceDataset, FaceDataset]":
        """Split into (rest, held out), each class in the same proportion, but at least one face.

        The only face of a class stays in the rest. Both keep the order of the rows.

        Args:
            fraction: of the faces, 0..1.
            seed: of the draw.

        Raises:
            DataError: there are too few faces for that.
        """
        from sklearn.model_selection import train_test_split

        counts = np.bincount(self.classes, minlength=len(self.labels))
        several = np.flatnonzero(counts[self.classes] > 1)
        wanted = max(math.ceil(fraction * len(several)), np.count_nonzero(counts > 1))
        try:
            _, held = train_test_split(
                several, test_size=wanted, random_state=seed, stratify=self.classes[several]
            )
        except ValueError:
            raise DataError(
                f"{fraction:.0%} of {len(self)} faces of {np.count_nonzero(counts)} classes can't "
                f"be held out: give more faces, two or more of each class"
            ) from None
        # Proportion alone leaves small classes out.
        draw = np.random.default_rng(seed)
        missed = np.setdiff1d(np.flatnonzero(counts > 1), self.classes[held])
        faces = [draw.choice(np.flatnonzero(self.classes == kind)) for kind in missed]
        held = np.sort(np.array([*held, *faces]))
        return self.subset(np.setdiff1d(np.arange(len(self)), held)), self.subset(held)

    def require_every_class(self) -> None:
        """Refuse a set that a classifier can't be trained on.

        Raises:
            DataError: some label has no face.
        """
        counts = np.bincount(self.classes, minlength=len(self.labels))
        empty = [label for label, count in zip(self.labels, counts, strict=True) if not count]
        if empty:
            raise DataError(
                f"No face of class {', '.join(empty)} among {len(self)} to train on: every "
                f"class needs some"
            )


def load_dataset(
    path: str | Path,
    split: str = TRAINING,
    *,
    ferplus: str | Path | None = None,
    ferplus_share: float = 1,
    face_size: tuple[int, int] = (48, 48),
) -> FaceDataset:
    """Load one split of a data set.

    Args:
        path: FER-2013's Kaggle file (``.csv`` or ``.csv.gz``), or a folder of images in one
            folder per class, below one folder per split (``train/angry/1.png``) or not.
        split: ``Training``, ``PublicTest`` or ``PrivateTest``; ``train``, ``validation`` and
            ``test`` mean the same.
        ferplus: the FER+ votes (``fer2013new.csv``) for the rows of the CSV file; they become
            ``votes`` over FER-2013's seven classes.
        ferplus_share: of these votes in the targets, 0..1; the rest is FER-2013's label.
        face_size: (height, width) that faces are resized to, pixels; for a recognizer whose
            networks need more, ``recognizer.config.face_sizes[0]``.

    Raises:
        ConfigError: face_size is not two numbers of 1 to 1024, or ferplus_share not in 0..1
            or without ferplus.
        DataError: nothing is there, or it is malformed; names the file and the line.
    """
    path = Path(path)
    face_size = require_size("load_dataset", "face_size", face_size, 1)
    require_number("load_dataset", "ferplus_share", ferplus_share, 0, 1)
    if ferplus is None and ferplus_share != 1:
        raise ConfigError(f"ferplus_share={ferplus_share} needs votes: name their file as ferplus")
    if path.is_dir():
        if ferplus is not None:
            raise DataError(f"FER+ votes go with FER-2013's CSV file, not with the folder {path}")
        images, classes, labels, larger = read_folder(path, split, face_size)
        return FaceDataset(images, classes, labels, shrunk=larger)
    if not path.is_file():
        raise DataError(f"No data set at {path}: expected FER-2013's CSV file or a folder")
    images, classes, labels, votes = read_fer2013(
        path, split, None if ferplus is None else Path(ferplus)
    )
    resized = faces_by_size(images, (face_size,))[face_size]
    labelled = FaceDataset(resized, classes, labels)
    if votes is None:
        return labelled
    share = np.float32(ferplus_share)
    return replace(labelled, votes=(1 - share) * labelled.targets + share * votes)


#: What training and evaluation take: a FaceDataset, or images with class indices.
Labelled = FaceDataset | tuple[NDArray[np.uint8], Sequence[int] | NDArray[np.integer[Any]]]


def as_dataset(
    data: Labelled,
    *,
    labels: tuple[str, ...],
    face_size: tuple[int, int] | None = None,
    exactly: bool = True,
    every_label: bool = False,
) -> FaceDataset:
    """Return the data as a FaceDataset that fits a recognizer.

    Args:
        data: a FaceDataset, or (images uint8 (n, height, width), class indices (n,)).
        labels: the recognizer's.
        face_size: the (height, width) that is needed, pixels; None takes any.
        exactly: refuse all others; else only faces that were shrunk to less.
        every_label: refuse data whose labels are some of them only, or in another order.

    Raises:
        DataError: arrays don't fit together, or labels or size are not the recognizer's.
    """
    if not isinstance(data, FaceDataset):
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise DataError(
                f"Labelled faces are a FaceDataset or (images, classes), got {type(data).__name__}"
            )
        images, classes = data
        data = FaceDataset(np.asarray(images), np.asarray(classes), labels)
    if data.labels != labels and every_label:
        raise DataError(
            f"The data have the labels {', '.join(data.labels)}; to train they must be the "
            f"recognizer's: {', '.join(labels)}"
        )
    if data.labels != labels:
        data = data.with_labels(labels)
    shape = data.images.shape[1:]
    if face_size not in (None, shape) and (
        exactly or (data.shrunk and min(shape) < min(face_size))
    ):
        raise DataError(
            f"The data's faces are {shape} pixels; the recognizer's are {face_size}: load them "
            f"with load_dataset(..., face_size={face_size})"
        )
    return data
