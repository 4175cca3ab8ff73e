"""The Parquet files of a batch run: one for each part, with its counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from emonet.results import ImageResult
from emonet.support.files import atomic_write
from emonet.tables import to_arrow

RESULTS_AT_ONCE = 256
#: Prefix of the counts in a file's metadata.
PREFIX = "emonet."


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images, faces and failed images there were."""

    images: int = 0
    faces: int = 0
    failed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sums."""
        return Counts(
            self.images + other.images, self.faces + other.faces, self.failed + other.failed
        )


def part_file(folder: Path, number: int) -> Path:
    """Return the Parquet file of a part."""
    return folder / f"part-{number:06d}.parquet"


def write_part(
    folder: Path, number: int, results: Iterable[ImageResult], labels: Sequence[str]
) -> Counts:
    """Write a part's rows and counts atomically; memory use does not depend on its size."""
    import pyarrow.parquet as pq

    counts, rest = Counts(), iter(results)
    with (
        atomic_write(part_file(folder, number)) as temporary,
        pq.ParquetWriter(temporary, to_arrow([], labels=labels).schema) as writer,
    ):
        while some := list(islice(rest, RESULTS_AT_ONCE)):
            writer.write_table(to_arrow(some, labels=labels))
            counts += Counts(
                len(some),
                sum(len(result.faces) for result in some),
                sum(result.error is not None for result in some),
            )
        writer.add_key_value_metadata(
            {f"{PREFIX}{name}": str(getattr(counts, name)) for name in Counts.__slots__}
        )
    return counts


def read_counts(folder: Path, number: int) -> Counts | None:
    """Return the counts of a finished part; None if the part has no file."""
    import pyarrow.parquet as pq

    file = part_file(folder, number)
    if not file.exists():
        return None
    metadata = pq.read_metadata(file).metadata or {}
    return Counts(*(int(metadata[f"{PREFIX}{name}".encode()]) for name in Counts.__slots__))
