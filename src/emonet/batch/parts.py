"""Divide a source of images into parts; the faces of each part become one Parquet file.

A part is plain data, so another machine that sees the same files can process it. Dividing an
unchanged source again gives the same parts.
"""

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from emonet.errors import ImageError, InputError
from emonet.support.dependencies import require
from emonet.support.image_files import find_images, has_image_suffix

#: Largest image file in a shard: some of them are in memory at once.
MAX_IMAGE_BYTES = 2**26
#: Largest header in a shard, such as a long name. Python's tarfile reads it at once.
MAX_HEADER_BYTES = 2**20
#: Entries of a shard that hold the header of another entry.
HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
ROWS_AT_ONCE = 64
#: Names of columns with images, in the order in which they are looked for.
IMAGE_COLUMNS = ("image", "bytes", "jpg", "png", "path", "file")

#: An image's name, and the image itself or the error of reading it.
Named = tuple[str, Path | bytes | ImageError]


class Part(Protocol):
    """Some images of a source."""

    @property
    def key(self) -> str:
        """Text that differs between different parts."""
        ...

    @property
    def count(self) -> int | None:
        """Number of images; None if it takes reading the part to know."""
        ...

    def images(self) -> Iterator[Named]:
        """Yield the images in the order of the source."""
        ...


@dataclass(frozen=True, slots=True)
class PathsPart:
    """Image files."""

    paths: tuple[str, ...]

    @property
    def key(self) -> str:
        """The paths."""
        return "\n".join(self.paths)

    @property
    def count(self) -> int:
        """Number of paths."""
        return len(self.paths)

    def images(self) -> Iterator[Named]:
        """Yield each path with itself as the name."""
        return ((path, Path(path)) for path in self.paths)


class _Member(tarfile.TarInfo):
    """An entry of a shard; a large header of an entry is not read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        """Return the entry in 512 bytes of a shard."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in HEADERS and member.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header has {member.size} bytes")
        return member


@dataclass(frozen=True, slots=True)
class ShardPart:
    """The images in a tar file, such as a shard of a WebDataset."""

    file: str
    size: int

    @property
    def key(self) -> str:
        """The file and its size."""
        return f"{self.file} {self.size}"

    @property
    def count(self) -> None:
        """Unknown."""
        return

    def images(self) -> Iterator[Named]:
        """Yield the images, named ``shard.tar/image.jpg``; an error ends a damaged shard."""
        try:
            with tarfile.open(self.file, "r|*", tarinfo=_Member) as shard:
                for member in shard:
                    if member.isfile() and has_image_suffix(Path(member.name)):
                        name = f"{self.file}/{member.name}"
                        yield name, _bounded(shard, member, name)
        except Exception as error:  # tarfile raises many kinds of errors
            yield self.file, ImageError(f"The shard {self.file} is damaged: {error}")


@dataclass(frozen=True, slots=True)
class RowsPart:
    """The rows from ``start`` up to ``stop`` of a Parquet file."""

    file: str
    size: int
    column: str
    start: int
    stop: int

    @property
    def key(self) -> str:
        """The file, its size, the column and the rows."""
        return f"{self.file} {self.size} {self.column} {self.start} {self.stop}"

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    def images(self) -> Iterator[Named]:
        """Yield the images, named by their path or ``table.parquet#row``."""
        row = self.start
        try:
            for value in self._values():
                yield _named(value, f"{self.file}#{row}")
                row += 1
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            yield f"{self.file}#{row}", ImageError(f"{self.file} is damaged: {error}")

    def _values(self) -> Iterator[Any]:
        """Yield the column's values; only row groups with wanted rows are read."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as table:
            bounds = [0]
            for group in range(table.num_row_groups):
                bounds.append(bounds[-1] + table.metadata.row_group(group).num_rows)
            groups = [
                group
                for group in range(table.num_row_groups)
                if bounds[group + 1] > self.start and bounds[group] < self.stop
            ]
            row = bounds[groups[0]]
            batches = table.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=[self.column])
            for batch in batches:
                first, last = max(self.start, row), min(self.stop, row + len(batch))
                if first < last:
                    yield from batch.slice(first - row, last - first).column(0).to_pylist()
                row += len(batch)


def divide(sources: Sequence[str], *, part_size: int, column: str | None = None) -> list[Part]:
    """Return the parts of folders, images, patterns, lists of paths, tables and shards.

    Args:
        sources: folders, image files and patterns; ``.txt`` files with one path per line;
            ``.parquet`` files; ``.tar`` files (also compressed). A pattern may match any of them.
        part_size: number of images in a part; a shard is one part, whatever its size.
        column: column of a Parquet file that has the images; by default the first of
            IMAGE_COLUMNS.

    Raises:
        InputError: a source does not exist, holds no images, or is not what its suffix says.
        MissingDependencyError: pyarrow is not installed.
    """
    paths: list[str] = []
    parts: list[Part] = []
    for file in find_images(sources):
        suffixes = [suffix.lower() for suffix in Path(file).suffixes]
        if ".tar" in suffixes[-2:]:
            parts.append(ShardPart(file, _size(file)))
        elif suffixes[-1:] == [".parquet"]:
            parts += _rows(file, column, part_size)
        elif suffixes[-1:] == [".txt"]:
            paths += _listed(file)
        else:
            paths.append(file)
    slices = range(0, len(paths), part_size)
    return [*(PathsPart(tuple(paths[at : at + part_size])) for at in slices), *parts]


def _rows(file: str, column: str | None, part_size: int) -> Iterable[RowsPart]:
    require("tables", "Reading Parquet files")
    import pyarrow.parquet as pq

    size = _size(file)
    try:
        with pq.ParquetFile(file) as table:
            names, rows = table.schema_arrow.names, table.metadata.num_rows
    except ValueError as error:
        raise InputError(f"{file} is not a Parquet file: {error}") from error
    wanted = IMAGE_COLUMNS if column is None else (column,)
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise InputError(
            f"{file} has no column {' or '.join(wanted)}, only {names!a:.200}. Name "
            f"the column of paths or image bytes with --column"
        )
    for start in range(0, rows, part_size):
        yield RowsPart(file, size, found, start, min(start + part_size, rows))


def _listed(file: str) -> list[str]:
    """Return the paths in a text file, relative to the working directory."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise InputError(f"Cannot read the list of paths {file}: {error}") from error
    return [line for line in map(str.strip, lines) if line]


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error}") from error


def _named(value: Any, name: str) -> Named:
    """Return a table's value as an image; Hugging Face's datasets store ``{bytes, path}``."""
    if isinstance(value, dict):
        path, value = value.get("path"), value.get("bytes") or value.get("path")
        name = f"{name}/{path}" if isinstance(path, str) and path else name
    if isinstance(value, bytes):
        return name, value
    if isinstance(value, str):
        return value, Path(value)
    return name, ImageError(f"{name} holds no path and no image bytes, but {value!r:.80}")


def _bounded(shard: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes | ImageError:
    """Return an image of a shard, if it is small enough."""
    # A sparse file of a few bytes can have any size.
    if member.size > MAX_IMAGE_BYTES or member.issparse():
        kind = "is sparse" if member.issparse() else f"has {member.size} bytes"
        return ImageError(
            f"{name} {kind}. An image in a shard may have {MAX_IMAGE_BYTES / 2**20:.0f} MiB"
        )
    file = shard.extractfile(member)
    return b"" if file is None else file.read()
