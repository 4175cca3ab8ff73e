"""Filter a data set by faces: keep images with exactly one face, as the paper does."""

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

from emonet.data.fer2013 import COLUMNS, read_rows
from emonet.data.folders import class_images, folder_splits
from emonet.data.splits import SPLIT_FOLDERS, TRAINING, official_split
from emonet.errors import DataError, ImageError
from emonet.pipeline.crops import whole_face
from emonet.pipeline.detection import detect_faces
from emonet.pipeline.framing import as_scene
from emonet.pipeline.images import load_image
from emonet.plugin import Detector
from emonet.support.cache import cached
from emonet.support.files import atomic_write

#: A filter that is interrupted loses the detections of at most this many images.
CHUNK_IMAGES = 512


@dataclass(slots=True)
class FaceCounts:
    """Numbers of images of one class in which the detector found no face, one, or more."""

    none: int = 0
    one: int = 0
    more: int = 0

    def add(self, faces: int) -> None:
        """Count an image with this many faces."""
        match faces:
            case 0:
                self.none += 1
            case 1:
                self.one += 1
            case _:
                self.more += 1


@dataclass(frozen=True, slots=True)
class FilterReport:
    """Result of a face filter.

    Attributes:
        counts: numbers of images by split and by label.
        kept: number of images kept.
        unreadable: number of image files that can't be read; they are not kept.
    """

    counts: Mapping[str, Mapping[str, FaceCounts]]
    kept: int
    unreadable: int

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)


class _Image(NamedTuple):
    """One labelled image and the function that keeps it; face is None if it can't be read."""

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
    """Copy the images of a data set that show exactly one face.

    Args:
        path: FER-2013's CSV file or a folder, as for load_dataset; it is not changed.
        out: the folder for the copy, which has the same file or folder names.
        detector: the detector, from create_detector.
        splits: the splits to filter; the others are copied unchanged. None filters all.
        cache: a folder for this detector's results. An interrupted filter continues from it.
            Use one folder per detector.
        advance: called after every image that the detector processed.

    Raises:
        DataError: the data set is malformed, or ``out`` already contains a copy.
    """
    path, out = Path(path), Path(out)
    chosen = {official_split(name) for name in (SPLIT_FOLDERS if splits is None else splits)}
    counts: dict[str, dict[str, FaceCounts]] = {}
    kept = unreadable = 0
    cache = None if cache is None else Path(cache)
    with _open_images(path, out) as images:
        while chunk := list(islice(images, CHUNK_IMAGES)):
            faces = [i.face for i in chunk if i.face is not None and i.split in chosen]
            numbers = iter(_count_faces(faces, detector, cache, advance))
            for split, label, face, keep in chunk:
                if face is None:
                    unreadable += 1
                    continue
                number = next(numbers) if split in chosen else 1
                if split in chosen:
                    counts.setdefault(split, {}).setdefault(label, FaceCounts()).add(number)
                if number == 1:
                    keep()
                    kept += 1
    return FilterReport(counts, kept, unreadable)


def _count_faces(
    faces: Sequence[NDArray[np.uint8]],
    detector: Detector,
    cache: Path | None,
    advance: Callable[[], None],
) -> list[int]:
    """Return the number of faces that the detector finds in each image."""

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
def _open_images(path: Path, out: Path) -> Iterator[Iterator[_Image]]:
    """Yield the images of a data set; the copy appears once all images are processed."""
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise DataError(f"{out} is inside the data set {path}: choose another folder")
    target = out / path.absolute().name
    if target.exists():
        raise DataError(f"{target} already exists: choose another folder")
    if path.is_dir():
        with atomic_write(target) as folder:
            folder.mkdir(parents=True)
            yield _from_folder(path, folder)
    elif path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as file, _open_text(file, path.suffix) as text:
            writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            yield _from_csv(path, writer)
    else:
        raise DataError(f"No data set at {path}: pass FER-2013's CSV file or a folder")


def _from_csv(path: Path, writer: "csv.DictWriter[str]") -> Iterator[_Image]:
    for row in read_rows(path):
        yield _Image(row.split, row.label, row.face, partial(writer.writerow, row.raw))


def _from_folder(path: Path, out: Path) -> Iterator[_Image]:
    for split, root in (folder_splits(path) or {TRAINING: path}).items():
        for label, file in class_images(root):
            copy = out / file.relative_to(path)
            try:
                face = whole_face(load_image(file), (48, 48))
            except ImageError:
                face = None
            yield _Image(split, label, face, partial(_copy, file, copy))


def _copy(file: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)


def _open_text(path: Path, suffix: str) -> IO[str]:
    if suffix == ".gz":
        return gzip.open(path, "wt", newline="", encoding="utf-8")
    return path.open("w", newline="", encoding="utf-8")
