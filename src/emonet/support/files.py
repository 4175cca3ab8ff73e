"""Write files atomically, lock folders, and read files of limited size."""

import errno
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Temporary files of atomic_write: where they were written, by which process, and chance.
TEMPORARY = re.compile(r"\.emonet-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{16}")
#: A file that stayed unchanged for so long has no writer any more.
LEFT_SECONDS = 3600
LOCK_FILE = ".emonet-lock"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder; rename it to ``path`` on success."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # The name is random, because an untrusted folder may contain a link of a predictable name.
    # It leaves out the real name, which may already have the maximum length. sweep reads the rest.
    temporary = path.with_name(f".emonet-{_place()}-{os.getpid()}-{os.urandom(8).hex()}")
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


def sweep(folder: Path) -> None:
    """Delete the temporary files that killed processes left in a folder."""
    for path in folder.glob(".emonet-*"):
        if (parts := TEMPORARY.fullmatch(path.name)) is None:
            continue
        place, process = parts.groups()
        with suppress(OSError):  # for example a folder, or swept by another process
            age = time.time() - path.lstat().st_mtime
            if age > LEFT_SECONDS or (place == _place() and _is_gone(int(process))):
                path.unlink()


def _place() -> str:
    """Return a name of the machine or container whose process numbers count."""
    import platform

    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # only Linux has it
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _is_gone(process: int) -> bool:
    """Return whether a process of this machine has surely ended."""
    if sys.platform == "win32":
        return False  # os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or no possible number
        pass
    return False


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes and threads that lock a folder out; the end of a process unlocks it.

    Raises:
        BlockingIOError: another one has locked the folder.
    """
    path = folder / LOCK_FILE
    handle = _open_locked(path)
    try:
        yield
    finally:
        # Unix deletes an open file, and nobody can lock it in between; Windows does not.
        if sys.platform == "win32":
            os.close(handle)
        with suppress(OSError):
            path.unlink()
        if sys.platform != "win32":
            os.close(handle)


def _open_locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0))
        try:
            _lock(handle)
            if os.path.samestat(os.fstat(handle), path.lstat()):
                return handle
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        # The holder before deleted the file after it was opened here.
        os.close(handle)


def _lock(handle: int) -> None:
    """Lock an open file; raise BlockingIOError if another handle has locked it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # A disk on the network may have no locks: then nobody is kept out.
            if isinstance(error, BlockingIOError):
                raise


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
