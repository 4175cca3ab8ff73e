"""Write files atomically, and read files of limited size."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder; rename it to ``path`` on success."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # The name is random, because an untrusted folder may contain a link of a predictable name.
    # It leaves out the real name, which may already have the maximum length.
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        yield temporary
        if temporary.is_file():
            flush(temporary)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):
                temporary.unlink()


def flush(path: Path) -> None:
    """Wait until a file's bytes are on the disk, so that they survive a power failure."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def read_bounded(path: Path, maximum: int) -> bytes | None:
    """Return a file's bytes; None if it is empty or has more than ``maximum`` bytes.

    A file that reports no size, such as one in /proc, counts as empty: reading may never end.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= maximum:
            return None
        # read allocates what it is asked for, and maximum may be half of the memory.
        data = file.read(size + 1)
    return data if len(data) <= maximum else None
