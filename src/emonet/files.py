"""Files: written so that none is ever half there, and read so that none fills the memory."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["beside", "flush", "read_bounded"]


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path, for a file or folder, that takes the real name when all went well."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # A name that nobody can foresee: in a stranger's folder, a link may wait under one. The
    # real one is not in it, because that may be as long as names can be.
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
    """Wait until a file's bytes are on the disk, so that they outlast the power."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def read_bounded(path: Path, most: int) -> bytes | None:
    """Return a file's bytes; None if it has none, or more than so many.

    A file without a size, such as one of /proc, may have no end, or wait for ever.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        if not 0 < os.fstat(file.fileno()).st_size <= most:
            return None
        data = file.read(most + 1)
    return data if len(data) <= most else None
