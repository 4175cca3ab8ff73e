"""Keep the pictures in which a detector finds exactly one face, as the seed paper does."""

import csv
import gzip
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emonet.cache import cached
from emonet.data.fer2013 import COLUMNS, read_rows
from emonet.data.folders import class_images, folder_splits
from emonet.data.splits import SPLIT_FOLDERS, TRAINING, official_split
from emonet.errors import DataError, ImageError
from emonet.files import beside
from emonet.pipeline.crops import as_scene, whole_face
from emonet.pipeline.detection import detect_faces
from emonet.pipeline.images import load_image
from emonet.plugin import Detector

__all__ = ["FaceCounts", "FilterReport", "filter_faces"]

#: A filter that is killed loses the pictures that it was at.
CHUNK_PICTURES = 512


@dataclass(slots=True)
class FaceCounts:
    """In how many pictures of one class the detector found no face, one, or more."""

    none: int = 0
    one: int = 0
    more: int = 0

    def add(self, faces: int) -> None:
        """Count a picture with this many faces."""
        match faces:
            case 0:
                self.none += 1
            case 1:
                self.one += 1
            case _:
                self.more += 1


@dataclass(frozen=True, slots=True)
class FilterReport:
    """What a filter found and kept.

    Attributes:
        counts: by split and by label.
        kept: pictures that were kept.
        unreadable: image files that were left out because they can't be read.
    """

    counts: Mapping[str, Mapping[str, FaceCounts]]
    kept: int
    unreadable: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)


class _Picture(NamedTuple):
    """One labelled picture, and how it is kept; no face where it can't be read."""

    split: str
    label: str
    face: NDArray[np.uint8] | None
    keep: Callable[[], object]


def filter_faces(
    path: str | Path,
    out: str | Path,
    detector: Detector,
    *,
    splits: Collection[str] | None = None,
    cache: str | Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> FilterReport:
    """Copy a data set without the pictures that do not show exactly one face.

    Args:
        path: what load_dataset takes: FER-2013's CSV file or a folder; it stays as it is.
        out: the folder that gets a file or folders of the same names.
        detector: what looks for faces, from create_detector.
        splits: the splits to filter; of others, everything is kept. None filters all.
        cache: a folder for what this detector finds, of use to nobody else: a filter that
            was stopped goes on from there.
        advance: called after every picture that the detector looked at.

    Raises:
        DataError: the data are malformed, or ``out`` holds them already.
    """
    path, out = Path(path), Path(out)
    chosen = {official_split(name) for name in (SPLIT_FOLDERS if splits is None else splits)}
    counts: dict[str, dict[str, FaceCounts]] = {}
    passed = unreadable = 0
    cache = None if cache is None else Path(cache)
    with _pictures(path, out) as pictures:
        while chunk := list(islice(pictures, CHUNK_PICTURES)):
            looked_at = [p.face for p in chunk if p.face is not None and p.split in chosen]
            found = iter(_count_faces(looked_at, detector, cache, advance))
            for split, label, face, keep in chunk:
                if face is None:
                    unreadable += 1
                    continue
                faces = next(found) if split in chosen else 1
                if split in chosen:
                    counts.setdefault(split, {}).setdefault(label, FaceCounts()).add(faces)
                if faces == 1:
                    keep()
                    passed += 1
    return FilterReport(counts, passed, unreadable)


def _count_faces(
    faces: Sequence[NDArray[np.uint8]],
    detector: Detector,
    cache: Path | None,
    advance: Callable[[], None],
) -> list[int]:
    """Return how many faces the detector finds in each picture."""

    def count(faces: NDArray[np.uint8]) -> NDArray[np.int64]:
        found = np.empty(len(faces), np.int64)
        for index, face in enumerate(faces):
            found[index] = len(detect_faces(detector, as_scene(face)))
            advance()
        return found

    if not faces:
        return []
    found = cached(cache, "faces", b"", np.stack(faces), count, shape=(len(faces),), dtype=np.int64)
    return [int(number) for number in found]


@contextmanager
def _pictures(path: Path, out: Path) -> Iterator[Iterator[_Picture]]:
    """Read a data set; the copy of what is kept is there when all is done."""
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise DataError(f"{out} is within the data set {path}: choose a folder outside")
    target = out / path.absolute().name
    if target.exists():
        raise DataError(f"{target} is there already: choose another folder")
    if path.is_dir():
        with beside(target) as folder:
            folder.mkdir(parents=True)
            yield _from_folder(path, folder)
    elif path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        with beside(target) as file, _open_text(file, path.suffix) as text:
            writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            yield _from_csv(path, writer)
    else:
        raise DataError(f"No data set at {path}: expected FER-2013's CSV file or a folder")


def _from_csv(path: Path, writer: "csv.DictWriter[str]") -> Iterator[_Picture]:
    for row in read_rows(path):
        yield _Picture(row.split, row.label, row.face, partial(writer.writerow, row.raw))


def _from_folder(path: Path, out: Path) -> Iterator[_Picture]:
    for split, root in (folder_splits(path) or {TRAINING: path}).items():
        for label, file in class_images(root):
            copy = out / file.relative_to(path)
            try:
                face = whole_face(load_image(file), (48, 48))
            except ImageError:
                face = None
            yield _Picture(split, label, face, partial(_copy, file, copy))


def _copy(file: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)


def _open_text(path: Path, suffix: str) -> IO[str]:
    if suffix == ".gz":
        return gzip.open(path, "wt", newline="", encoding="utf-8")
    return path.open("w", newline="", encoding="utf-8")
