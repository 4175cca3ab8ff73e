"""FaceDataset: the labelled faces that training and evaluation take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emonet.data.fer2013 import read_fer2013
from emonet.data.folders import read_folder
from emonet.data.hugging_face import HuggingFaceDataset, is_hugging_face, read_hugging_face
from emonet.data.splits import TRAINING
from emonet.errors import ConfigError, DataError
from emonet.pipeline.crops import faces_by_size
from emonet.plugin import require_number, require_size


@dataclass(frozen=True, eq=False)
class FaceDataset:
    """Grey face crops with their classes.

    Attributes:
        images: uint8 (n, height, width).
        classes: int64 (n,), indices into ``labels``.
        labels: the label set, in the order of the indices.
        votes: float32 (n, len(labels)) soft labels, 0..1, whose rows sum to 1; or None.
        downscaled: whether the source has larger images than ``images``.
        sources: where each face comes from (n,): paths of images, or line numbers of a CSV file;
            None if unknown.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    labels: tuple[str, ...]
    votes: NDArray[np.float32] | None = None
    downscaled: bool = False
    sources: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Check that the arrays fit together.

        Raises:
            DataError: a dtype, shape or class index is wrong, or a label occurs twice.
        """
        object.__setattr__(self, "labels", tuple(self.labels))
        if len(set(self.labels)) < len(self.labels):
            raise DataError(f"labels must be unique, got {', '.join(self.labels)}")
        for name in ("images", "classes", "votes", "sources"):
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
        if self.sources is not None and len(self.sources) != len(self.images):
            raise DataError(
                f"sources must have {len(self.images)} entries, got {len(self.sources)}"
            )
        if not np.issubdtype(self.classes.dtype, np.integer):
            raise DataError(f"classes must be integers, got {self.classes.dtype}")
        shape = (len(self.images), len(self.labels))
        if self.votes is not None and self.votes.shape != shape:
            raise DataError(f"votes must have shape {shape}, got {self.votes.shape}")
        if self.votes is not None and not (
            (self.votes >= 0).all() and np.allclose(self.votes.sum(axis=1), 1, atol=1e-3)
        ):
            raise DataError("votes must be 0 or more, and each row must sum to 1")
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
        """float32 (n, len(labels)): the votes, or one-hot classes if there are no votes."""
        if self.votes is not None:
            return self.votes
        return np.eye(len(self.labels), dtype=np.float32)[self.classes]

    def subset(self, indices: NDArray[np.int64]) -> "FaceDataset":
        """Return the faces at the indices, integers (k,), in the order of the indices."""
        fields = ("images", "classes", "votes", "sources")
        values = {name: getattr(self, name) for name in fields}
        return replace(
            self, **{name: part[indices] for name, part in values.items() if part is not None}
        )

    def with_labels(self, labels: tuple[str, ...]) -> "FaceDataset":
        """Return the same faces with indices into another label set, which may be larger.

        Raises:
            DataError: the other label set lacks a label.
        """
        if not set(self.labels) <= set(labels):
            raise DataError(
                f"The data have the labels {', '.join(self.labels)}, "
                f"but the recognizer has {', '.join(labels)}: rename or leave out classes"
            )
        columns = np.array([labels.index(label) for label in self.labels])
        votes = None
        if self.votes is not None:
            votes = np.zeros((len(self), len(labels)), np.float32)
            votes[:, columns] = self.votes
        return replace(self, classes=columns[self.classes], labels=labels, votes=votes)

    def hold_out(self, fraction: float, *, seed: int = 0) -> "tuple[FaceDataset, FaceDataset]":
        """Split into (rest, held out), with the same class proportions in both.

        At least one face per class is held out, unless the class has only one face. Both parts
        keep the order of the faces.

        Args:
            fraction: fraction of the faces to hold out, 0..1.
            seed: seed of the draw.

        Raises:
            DataError: there are too few faces to split.
        """
        from sklearn.model_selection import train_test_split

        counts = np.bincount(self.classes, minlength=len(self.labels))
        candidates = np.flatnonzero(counts[self.classes] > 1)
        size = max(math.ceil(fraction * len(candidates)), np.count_nonzero(counts > 1))
        try:
            _, held = train_test_split(
                candidates, test_size=size, random_state=seed, stratify=self.classes[candidates]
            )
        except ValueError:
            raise DataError(
                f"Cannot hold out {fraction:.0%} of {len(self)} faces of "
                f"{np.count_nonzero(counts)} classes: add faces, at least two per class"
            ) from None
        # A stratified split may hold out no face of a small class.
        random = np.random.default_rng(seed)
        missing = np.setdiff1d(np.flatnonzero(counts > 1), self.classes[held])
        faces = [random.choice(np.flatnonzero(self.classes == index)) for index in missing]
        held = np.sort(np.array([*held, *faces]))
        return self.subset(np.setdiff1d(np.arange(len(self)), held)), self.subset(held)

    def require_every_class(self) -> None:
        """Raise DataError if a class has no face to train on."""
        counts = np.bincount(self.classes, minlength=len(self.labels))
        empty = [label for label, count in zip(self.labels, counts, strict=True) if not count]
        if empty:
            raise DataError(
                f"No face of class {', '.join(empty)} among {len(self)} training faces: add "
                f"faces, or leave the class out of the labels"
            )


def load_dataset(
    path: str | Path,
    split: str = TRAINING,
    *,
    ferplus: str | Path | None = None,
    ferplus_weight: float = 1,
    face_size: tuple[int, int] = (48, 48),
) -> FaceDataset:
    """Load one split of a data set.

    Args:
        path: FER-2013's file from Kaggle (``.csv`` or ``.csv.gz``), or a folder with one folder
            of images per class, optionally below one folder per split (``train/angry/1.png``).
        split: ``Training``, ``PublicTest`` or ``PrivateTest``, also called ``train``,
            ``validation`` and ``test``.
        ferplus: FER+ votes for FER-2013's CSV file (``fer2013new.csv``). They become ``votes``
            over FER-2013's seven classes.
        ferplus_weight: weight of the votes in the targets, 0..1; FER-2013's label has the rest.
        face_size: (height, width) that faces are resized to, pixels. For networks that need
            larger faces, pass ``recognizer.config.face_sizes[0]``.

    Raises:
        ConfigError: face_size is not two numbers of 1 to 1024, or ferplus_weight is not in 0..1
            or is given without ferplus.
        DataError: the data set is missing or malformed; the message names the file and line.
    """
    path = Path(path)
    face_size = require_size("load_dataset", "face_size", face_size, 1)
    require_number("load_dataset", "ferplus_weight", ferplus_weight, 0, 1)
    if ferplus is None and ferplus_weight != 1:
        raise ConfigError(
            f"ferplus_weight={ferplus_weight} needs votes: pass their file as ferplus"
        )
    if path.is_dir():
        if ferplus is not None:
            raise DataError(f"FER+ votes need FER-2013's CSV file, got the folder {path}")
        images, classes, labels, larger, files = read_folder(path, split, face_size)
        return FaceDataset(images, classes, labels, downscaled=larger, sources=files)
    if not path.is_file():
        raise DataError(f"No data set at {path}: pass FER-2013's CSV file or a folder")
    images, classes, labels, votes, lines = read_fer2013(
        path, split, None if ferplus is None else Path(ferplus)
    )
    resized = faces_by_size(images, (face_size,))[face_size]
    labelled = FaceDataset(resized, classes, labels, sources=lines)
    if votes is None:
        return labelled
    weight = np.float32(ferplus_weight)
    return replace(labelled, votes=(1 - weight) * labelled.targets + weight * votes)


#: Labelled faces: a FaceDataset, (images, class indices), or a Dataset of Hugging Face's datasets.
Labelled = (
    FaceDataset
    | tuple[NDArray[np.uint8], Sequence[int] | NDArray[np.integer[Any]]]
    | HuggingFaceDataset
)


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
        data: a FaceDataset, (images uint8 (n, height, width), class indices (n,)), or a
            ``datasets.Dataset`` with an Image column and a ClassLabel column. The images of a
            Dataset are resized to ``face_size``.
        labels: the recognizer's labels.
        face_size: the recognizer's (height, width), pixels; None accepts every size.
        exactly: whether to refuse every other size. If False, only faces that were downscaled
            below ``face_size`` are refused.
        every_label: whether the data must have all labels, in the recognizer's order.

    Raises:
        DataError: arrays don't fit together, or labels or size don't fit the recognizer.
    """
    if is_hugging_face(data):
        data = FaceDataset(*read_hugging_face(data, face_size or (48, 48)))
    if not isinstance(data, FaceDataset):
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise DataError(
                f"Expected a FaceDataset, a datasets.Dataset or (images, classes), got "
                f"{type(data).__name__}"
            )
        images, classes = data
        data = FaceDataset(np.asarray(images), np.asarray(classes), labels)
    if data.labels != labels and every_label:
        raise DataError(
            f"The data have the labels {', '.join(data.labels)}, but training needs the "
            f"recognizer's labels: {', '.join(labels)}"
        )
    if data.labels != labels:
        data = data.with_labels(labels)
    shape = data.images.shape[1:]
    if face_size not in (None, shape) and (
        exactly or (data.downscaled and min(shape) < min(face_size))
    ):
        raise DataError(
            f"The faces have {shape} pixels, but the recognizer needs {face_size}: load them "
            f"with load_dataset(..., face_size={face_size})"
        )
    return data
