"""Readers of FER-2013's CSV file from Kaggle and of its FER+ votes."""

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

COLUMNS = ["emotion", "pixels", "Usage"]
SIDE = 48

Rows = tuple[
    NDArray[np.uint8],
    NDArray[np.int64],
    tuple[str, ...],
    NDArray[np.float32] | None,
    NDArray[np.int64],
]


def read_fer2013(path: Path, split: str, ferplus: Path | None = None) -> Rows:
    """Read one split of ``fer2013.csv`` or ``fer2013.csv.gz``, line by line.

    Args:
        path: a file with the columns ``emotion`` (0..6), ``pixels`` (48 * 48 numbers, 0..255)
            and ``Usage``.
        split: any name of a split that official_split accepts.
        ferplus: ``fer2013new.csv``, whose rows of the split are in the same order as in ``path``.

    Returns:
        images uint8 (n, 48, 48), classes int64 (n,), the labels, votes float32 (n, 7) or None,
        and line numbers int64 (n,).

    Raises:
        DataError: a column is missing, a row is malformed, or the split has no row.
    """
    name = official_split(split)
    images, classes, lines = [], [], []
    for row in read_rows(path, name):
        images.append(row.face)
        lines.append(row.line)
        classes.append(FER2013.index(row.label))
    if not images:
        raise DataError(f"{path} has no row with Usage {name}: choose another split or file")
    votes = None if ferplus is None else _votes(ferplus, name, classes)
    return np.stack(images), np.array(classes), FER2013, votes, np.array(lines)


class Row(NamedTuple):
    """One row of the file: parsed values, the raw columns, and the number of its line."""

    split: str
    label: str
    face: NDArray[np.uint8]
    raw: dict[str, str]
    line: int


def read_rows(path: Path, split: str | None = None) -> Iterator[Row]:
    """Yield the rows of one split (by FER-2013's name) or of all splits, line by line.

    Raises:
        DataError: a column is missing or a row is malformed; the message names the line.
    """
    for line, row in csv_rows(path, COLUMNS):
        where = f"{path}, line {line}"
        if row["Usage"] not in SPLIT_FOLDERS:
            raise DataError(f"{where}: unknown Usage {row['Usage']!r}, expected {[*SPLIT_FOLDERS]}")
        if split is not None and row["Usage"] != split:
            continue
        if row["emotion"] not in tuple("0123456"):
            raise DataError(f"{where}: unknown emotion {row['emotion']!r}, expected 0 to 6")
        face = _pixels(row["pixels"], where)
        yield Row(row["Usage"], FER2013[int(row["emotion"])], face, row, line)


def csv_rows(path: Path, columns: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row); raise DataError if a column is missing."""
    with _open_text(path) as file:
        try:
            reader = csv.DictReader(file)
            # Kaggle's icml_face_data.csv has a space before each column name.
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
    # utf-8-sig removes the byte order mark that spreadsheets write before the first column.
    return path.open(newline="", encoding="utf-8-sig")


def _pixels(text: str, where: str) -> NDArray[np.uint8]:
    try:
        values = np.array(text.split(), dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{where}: pixels must be numbers: {error}") from None
    except OverflowError:
        raise DataError(f"{where}: pixels must be 0..255, got a larger number") from None
    if values.size != SIDE * SIDE:
        raise DataError(f"{where}: expected {SIDE * SIDE} pixels, got {values.size}")
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{where}: pixels must be 0..255, got {values.min()}..{values.max()}")
    return values.astype(np.uint8).reshape(SIDE, SIDE)


def _votes(path: Path, split: str, classes: list[int]) -> NDArray[np.float32]:
    """Return a split's FER+ votes as distributions over FER-2013's classes, float32 (n, 7).

    A face with votes only for contempt, unknown or no face keeps its FER-2013 label.
    """
    if not path.is_file():
        raise DataError(f"No FER+ votes at {path}: pass the path of fer2013new.csv")
    table = []
    for line, row in csv_rows(path, ["Usage", *FER2013]):
        if row["Usage"] != split:
            continue
        counts = [row[label] for label in FER2013]
        if not all(count.isdecimal() for count in counts):
            raise DataError(f"{path}, line {line}: votes must be whole numbers, got {counts}")
        table.append([int(count) for count in counts])
    if len(table) != len(classes):
        # A data set that filter-faces wrote has fewer rows, which match no votes any more.
        raise DataError(
            f"{path} has votes for {len(table)} faces of {split}, but the data set has "
            f"{len(classes)}: pass the CSV file that the votes were made for"
        )
    votes = np.array(table, dtype=np.float32)
    without_votes = votes.sum(axis=1) == 0
    votes[without_votes] = np.eye(len(FER2013), dtype=np.float32)[classes][without_votes]
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))
