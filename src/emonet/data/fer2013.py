"""FER-2013 as Kaggle publishes it, and the FER+ votes for it."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emonet.data.splits import SPLIT_FOLDERS, official_split
from emonet.errors import DataError
from emonet.labels import FER2013

__all__ = ["COLUMNS", "Row", "read_fer2013", "read_rows"]

COLUMNS = ["emotion", "pixels", "Usage"]
SIDE = 48

Rows = tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...], NDArray[np.float32] | None]


def read_fer2013(path: Path, split: str, ferplus: Path | None = None) -> Rows:
    """Read one split of ``fer2013.csv`` or ``fer2013.csv.gz``, a line at a time.

    Args:
        path: columns ``emotion`` (0..6), ``pixels`` (48 * 48 numbers 0..255), ``Usage``.
        split: any name that official_split knows.
        ferplus: ``fer2013new.csv``; row i of a split there belongs to row i of it in ``path``.

    Returns:
        images uint8 (n, 48, 48), classes int64 (n,), the labels, and votes float32 (n, 7)
        or None.

    Raises:
        DataError: a wrong column, a short or unreadable row, an unknown label or split
            (with the line), or no row of the split.
    """
    wanted = official_split(split)
    images, classes = [], []
    for row in read_rows(path, wanted):
        images.append(row.face)
        classes.append(FER2013.index(row.label))
    if not images:
        raise DataError(f"{path} has no row with Usage {wanted}")
    votes = None if ferplus is None else _votes(ferplus, wanted, classes)
    return np.stack(images), np.array(classes), FER2013, votes


class Row(NamedTuple):
    """One row of the file: what it says, and its columns as they stand."""

    split: str
    label: str
    face: NDArray[np.uint8]
    raw: dict[str, str]


def read_rows(path: Path, split: str | None = None) -> Iterator[Row]:
    """Yield the rows of a split (FER-2013's own name), or all, a line at a time.

    Raises:
        DataError: a wrong column, a short or unreadable row, an unknown label or split.
    """
    for line, row in _rows(path, COLUMNS):
        where = f"{path}, line {line}"
        if row["Usage"] not in SPLIT_FOLDERS:
            raise DataError(f"{where}: unknown Usage {row['Usage']!r}")
        if split is not None and row["Usage"] != split:
            continue
        if row["emotion"] not in tuple("0123456"):
            raise DataError(f"{where}: unknown emotion {row['emotion']!r}, expected 0 to 6")
        face = _pixels(row["pixels"], where)
        yield Row(row["Usage"], FER2013[int(row["emotion"])], face, row)


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) and refuse a file without these columns."""
    with _open_text(path) as file:
        try:
            reader = csv.DictReader(file)
            # Kaggle's icml_face_data.csv has a space before each.
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            if missing := [name for name in columns if name not in reader.fieldnames]:
                raise DataError(
                    f"{path}, line 1: no column {', '.join(missing)}; found {reader.fieldnames}"
                )
            for row in reader:
                if None in row.values():
                    raise DataError(f"{path}, line {reader.line_num}: the row is too short")
                if None in row:
                    raise DataError(f"{path}, line {reader.line_num}: the row is too long")
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} can't be read as CSV: {error}") from error


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    # Spreadsheets put a byte order mark in front, which is no part of a column's name.
    return path.open(newline="", encoding="utf-8-sig")


def _pixels(text: str, where: str) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{where}: pixels hold something that is no number: {error}") from None
    except OverflowError:
        raise DataError(f"{where}: a pixel is outside 0..255") from None
    if values.size != SIDE * SIDE:
        raise DataError(f"{where}: {SIDE * SIDE} pixels expected, got {values.size}")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{where}: a pixel is outside 0..255")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _votes(path: Path, split: str, classes: list[int]) -> NDArray[np.float32]:
    """Turn a split's FER+ vote counts into distributions over FER-2013's classes.

    A face whose votes all went to contempt, unknown or no face keeps its FER-2013 label.
    """
    if not path.is_file():
        raise DataError(f"No FER+ votes at {path}")
    table = []
    for line, row in _rows(path, ["Usage", *FER2013]):
        if row["Usage"] != split:
            continue
        counts = [row[label] for label in FER2013]
        if not all(count.isdecimal() for count in counts):
            raise DataError(f"{path}, line {line}: a vote count is no whole number: {counts}")
        table.append([int(count) for count in counts])
    if len(table) != len(classes):
        # As after filter-faces: whose votes are whose can't be told then.
        raise DataError(
            f"{path} has votes for {len(table)} faces of {split}, the data set has "
            f"{len(classes)}: they belong to another one"
        )
    votes = np.array(table, dtype=np.float32)
    unclear = votes.sum(axis=1) == 0
    votes[unclear] = np.eye(len(FER2013), dtype=np.float32)[classes][unclear]
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))
