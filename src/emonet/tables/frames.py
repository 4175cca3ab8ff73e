"""Tables of pandas, polars and Arrow."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from emonet.support.dependencies import require
from emonet.tables.records import Kind, Record, Results, columns, to_records

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


def to_pandas(results: Results, *, labels: Sequence[str] | None = None) -> "pandas.DataFrame":
    """Return results as a pandas DataFrame: one row per face.

    The columns are those of ``to_records``. Integers are ``Int64``, numbers ``float64`` and texts
    ``string``, whatever the rows hold, so that tables can be concatenated.

    Args:
        results: one ImageResult or VideoFrame, or an iterable of them.
        labels: the classes. Needed only if the results may have no face.

    Raises:
        MissingDependencyError: pandas is not installed.
        InputError: a class has the name of another column, or is not in ``labels``.

    Examples:
        >>> recognizer = EmotionRecognizer.from_pretrained()
        >>> table = emonet.to_pandas(recognizer.predict(["a.jpg", "b.jpg"]))  # doctest: +SKIP
        >>> table.groupby("label")["score"].mean()  # doctest: +SKIP
    """
    require("pandas", "to_pandas")
    import pandas as pd

    values, kinds = _by_column(results, labels)
    dtypes = {"text": "string", "integer": "Int64", "number": "float64"}
    return pd.DataFrame(
        {name: pd.Series(values[name], dtype=dtypes[kind]) for name, kind in kinds.items()}
    )


def to_polars(results: Results, *, labels: Sequence[str] | None = None) -> "polars.DataFrame":
    """Return results as a polars DataFrame: one row per face, as ``to_pandas`` does.

    Raises:
        MissingDependencyError: polars is not installed.
        InputError: a class has the name of another column, or is not in ``labels``.
    """
    require("polars", "to_polars")
    import polars as pl

    values, kinds = _by_column(results, labels)
    dtypes = {"text": pl.String, "integer": pl.Int64, "number": pl.Float64}
    return pl.DataFrame(values, schema={name: dtypes[kind] for name, kind in kinds.items()})


def to_arrow(results: Results, *, labels: Sequence[str] | None = None) -> "pyarrow.Table":
    """Return results as an Arrow table: one row per face, as ``to_pandas`` does.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        InputError: a class has the name of another column, or is not in ``labels``.
    """
    require("tables", "to_arrow")
    import pyarrow as pa

    values, kinds = _by_column(results, labels)
    return pa.table(values, schema=arrow_schema(kinds))


def arrow_schema(kinds: dict[str, Kind]) -> "pyarrow.Schema":
    """Return the Arrow types of columns."""
    import pyarrow as pa

    types = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64()}
    return pa.schema([(name, types[kind]) for name, kind in kinds.items()])


def by_column(records: Iterable[Record], names: Iterable[str]) -> dict[str, list[Any]]:
    """Return the rows' values by column."""
    records = list(records)
    return {name: [record.get(name) for record in records] for name in names}


def _by_column(
    results: Results, labels: Sequence[str] | None
) -> tuple[dict[str, list[Any]], dict[str, Kind]]:
    """Return the values and the types of a table's columns."""
    records = list(to_records(results, labels=labels))
    if labels is None:
        # Rows of failed images have no classes, and results of several models have several.
        found = dict.fromkeys(name for record in records for name in record)
        labels = [name for name in found if name not in columns(())]
    kinds = columns(labels)
    return by_column(records, kinds), kinds
