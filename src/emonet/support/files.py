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

#: Names of atomic_write's temporary files: machine, process ID and random digits.
TEMPORARY = re.compile(r"\.emonet-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{16}")
#: No process still writes a temporary file that has not changed for this long.
LEFT_SECONDS = 3600
LOCK_FILE = ".emonet-lock"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder; rename it to ``path`` on success."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # The name is random, because an untrusted folder may contain a link with a predictable name.
    # It omits the real name, which may already have the maximum length. sweep reads the machine
    # and the process ID.
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
        with suppress(OSError):  # for example a folder, or another process deleted the file
            age = time.time() - path.lstat().st_mtime
            if age > LEFT_SECONDS or (place == _place() and _is_gone(int(process))):
                path.unlink()


def _place() -> str:
    """Return an identifier of this machine or container, whose process IDs are unique."""
    import platform

    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # only Linux has it
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _is_gone(process: int) -> bool:
    """Return True if a process on this machine has certainly ended."""
    if sys.platform == "win32":
        return False  # os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's process, or an invalid ID
        pass
    return False


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes and threads; the lock ends with the process.

    Raises:
        BlockingIOError: another process or thread has locked the folder.
    """
    path = folder / LOCK_FILE
    handle = _open_locked(path)
    try:
        yield
    finally:
        # Unix can delete the file before unlocking it, so that nobody locks it in between.
        # Windows can't delete an open file.
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
        # The previous holder deleted the file after this process opened it. Try again.
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
            # A network disk may not support locks. Continue without a lock there.
            if isinstance(error, BlockingIOError):
                raise


def flush(path: Path) -> None:
    """Wait until a file's bytes are on the disk, so that they survive a power failure."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def read_bounded(path: Path, maximum: int) -> bytes | None:
    """Return a file's bytes; None if it is empty or has more than ``maximum`` bytes.

    A file without a size, such as a file in /proc, counts as empty: reading it may never end.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= maximum:
            return None
        # Don't pass maximum: read allocates the requested size, and maximum may be half of the
        # memory.
        data = file.read(size + 1)
    return data if len(data) <= maximum else None
