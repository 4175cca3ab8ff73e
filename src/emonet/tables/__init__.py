"""Turn results into tables: one row per face, with the same columns for photos and videos."""

from emonet.tables.frames import to_arrow, to_pandas, to_polars
from emonet.tables.records import columns, to_records
from emonet.tables.writers import CsvWriter, ParquetWriter

__all__ = [
    "CsvWriter",
    "ParquetWriter",
    "columns",
    "to_arrow",
    "to_pandas",
    "to_polars",
    "to_records",
]
