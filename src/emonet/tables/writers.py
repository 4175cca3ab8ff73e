"""Files of tables, written while results come."""

import csv
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from emonet.support.dependencies import require
from emonet.support.files import atomic_write
from emonet.tables.frames import arrow_schema, by_column
from emonet.tables.records import Record, Results, columns, to_records

#: Rows of a group in a Parquet file; so many are held in memory.
GROUP_ROWS = 10_000


class CsvWriter:
    """A CSV file in UTF-8 that holds each result as soon as it is written.

    Args:
        path: replaced if it exists.
        labels: the classes.

    Raises:
        InputError: a class has the name of another column.
        OSError: the file can't be written.

    Examples:
        >>> with CsvWriter("faces.csv", recognizer.labels) as table:  # doctest: +SKIP
        ...     for result in recognizer.stream(files):
        ...         table.write(result)
    """

    def __init__(self, path: str | Path, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)
        names = columns(self._labels)
        self._file = Path(path).open("w", encoding="utf-8", newline="")  # noqa: SIM115  closed in __exit__
        self._rows = csv.DictWriter(self._file, names, lineterminator="\n")
        self._rows.writeheader()
        self._file.flush()

    def write(self, results: Results) -> None:
        """Write the rows of one result or of several."""
        self._rows.writerows(to_records(results, labels=self._labels))
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class ParquetWriter:
    """A Parquet file that appears at its path when it is whole.

    It is written in groups of rows, so that memory use is bounded. An interruption, such as
    Ctrl-C, keeps the rows so far; an error leaves the path as it was.

    Args:
        path: replaced if it exists.
        labels: the classes.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        InputError: a class has the name of another column.
        OSError: the file can't be written.
    """

    def __init__(self, path: str | Path, labels: Sequence[str]) -> None:
        require("tables", "A Parquet file")
        self._labels = tuple(labels)
        self._kinds = columns(self._labels)
        self._path = Path(path)
        self._pending: list[Record] = []

    def __enter__(self) -> Self:
        from pyarrow.parquet import ParquetWriter as Writer

        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_write(self._path))
            self._writer: Any = stack.enter_context(Writer(temporary, arrow_schema(self._kinds)))
            self._stack = stack.pop_all()
        return self

    def write(self, results: Results) -> None:
        """Add the rows of one result or of several."""
        for record in to_records(results, labels=self._labels):
            self._pending.append(record)
            if len(self._pending) >= GROUP_ROWS:
                self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        schema = arrow_schema(self._kinds)
        self._writer.write_table(pa.table(by_column(self._pending, self._kinds), schema=schema))
        self._pending.clear()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self._stack.__exit__(kind, error, traceback)
            return
        with self._stack:
            if self._pending:
                self._write_group()
