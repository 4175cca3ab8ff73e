"""Groups of faces, such as gender or lighting, read from a CSV file."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emonet.data.dataset import FaceDataset
from emonet.data.fer2013 import csv_rows
from emonet.errors import ConfigError, DataError

PATH = "path"
MOST_GROUPS = 100
EXAMPLES = 3


def load_groups(table: str | Path, dataset: FaceDataset, column: str) -> list[str]:
    """Load the group of each face of a data set from a column of a CSV file.

    Args:
        table: the CSV file (``.csv`` or ``.csv.gz``) that the faces come from. For faces of a
            folder: a CSV file with the columns ``path`` and ``column``. Paths are absolute, or
            relative to the folder of this file.
        dataset: faces that ``load_dataset`` read.
        column: name of the column with the groups.

    Returns:
        The group of each face, in the order of ``dataset``.

    Raises:
        ConfigError: the data set does not know where its faces come from.
        DataError: the file or the column is missing, or a face has no group.

    Examples:
        >>> test = emonet.load_dataset("faces.csv", "PublicTest")  # doctest: +SKIP
        >>> groups = emonet.load_groups("faces.csv", test, "gender")  # doctest: +SKIP
    """
    table = Path(table)
    if dataset.sources is None:
        raise ConfigError(
            "The faces don't say where they come from: load them with emonet.load_dataset"
        )
    if not table.is_file():
        raise DataError(f"No CSV file with groups at {table}")
    sources = dataset.sources.tolist()
    if any(isinstance(source, str) for source in sources):
        return _of_images(table, sources, column)
    groups = {line: row[column].strip() for line, row in csv_rows(table, [column])}
    if missing := [line for line in sources if line not in groups]:
        raise DataError(
            f"{table} has no row for {_some(missing, 'line')}: pass the file that the faces were "
            f"loaded from"
        )
    if empty := [line for line in sources if not groups[line]]:
        raise DataError(f"{table} has no {column} in {_some(empty, 'line')}: fill it in")
    return [groups[line] for line in sources]


def _of_images(table: Path, files: list[str], column: str) -> list[str]:
    groups: dict[str, str] = {}
    for line, row in csv_rows(table, [PATH, column]):
        where, group = f"{table}, line {line}", row[column].strip()
        file = os.path.abspath(table.parent / row[PATH])  # noqa: PTH100 (keeps symbolic links)
        if groups.setdefault(file, group) != group:
            raise DataError(f"{where}: a second {column} for {row[PATH]}")
    found = [groups.get(os.path.abspath(file)) for file in files]  # noqa: PTH100
    if missing := [file for file, group in zip(files, found, strict=True) if group is None]:
        raise DataError(
            f"{table} has no row for {_some(missing, 'image')}. Paths in it are absolute, or "
            f"relative to {table.parent}"
        )
    if empty := [file for file, group in zip(files, found, strict=True) if not group]:
        raise DataError(f"{table} has no {column} for {_some(empty, 'image')}: fill it in")
    return [group for group in found if group is not None]


def _some(items: Sequence[object], noun: str) -> str:
    """Return ``lines 2, 5, 9 and 4 more``."""
    shown = ", ".join(map(str, items[:EXAMPLES]))
    more = f" and {len(items) - EXAMPLES} more" if len(items) > EXAMPLES else ""
    return f"{noun}{'s' if len(items) > 1 else ''} {shown}{more}"


def as_groups(groups: object, faces: int) -> NDArray[np.str_]:
    """Check the groups of faces and return them as text (n,).

    Args:
        groups: one value for each face, such as text or a number.
        faces: number of faces.

    Raises:
        DataError: there is not one value for each face, a value is missing, or there is one
            group only, or more than 100.
    """
    values = np.empty(0) if isinstance(groups, str) else np.asarray(groups, dtype=object)
    if values.shape != (faces,):
        given = repr(groups)[:80] if isinstance(groups, str) else f"shape {values.shape}"
        raise DataError(f"groups must have one value for each of {faces} faces, got {given}")
    missing = [index for index, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise DataError(f"groups has no value for {_some(missing, 'face')}: name the group")
    names = np.array([str(value).strip() for value in values], dtype=np.str_)
    unique = np.unique(names)
    if len(unique) < 2:
        raise DataError(f"Comparing groups needs two groups or more, got {unique.tolist()!r:.80}")
    if len(unique) > MOST_GROUPS:
        raise DataError(
            f"Comparing groups takes at most {MOST_GROUPS} groups, got {len(unique)}, such as "
            f"{unique[:EXAMPLES].tolist()!r:.80}: merge values into categories"
        )
    return names


def _is_missing(value: object) -> bool:
    """Return whether a value is None, not a number, pandas' NA, or blank text."""
    # NaN and NaT are unequal to themselves, and NA is neither equal nor unequal.
    return (
        value is None
        or (isinstance(value, str) and not value.strip())
        or type(value).__name__ == "NAType"
        or bool(value != value)
    )
