"""Keep libraries that decode untrusted files from writing to stderr."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any


class _Quiet(threading.local):
    """A filter that drops the warnings and log records of threads inside ``quiet``.

    Python's filters belong to the process, and replacing them temporarily is not thread-safe. This
    filter stays installed and checks the current thread.
    """

    depth = 0

    def match(self, module: str) -> bool:
        """Return whether to drop a warning; ``warnings`` calls it like ``re.Pattern.match``."""
        return self.depth > 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to keep a log record."""
        return self.depth == 0


_quiet = _Quiet()
_FILTER: Any = ("ignore", None, Warning, _quiet, 0)
_lock = threading.Lock()


@contextmanager
def quiet() -> Iterator[None]:
    """Drop the warnings, and Pillow's log records, of this thread."""
    _install()
    _quiet.depth += 1
    try:
        yield
    finally:
        _quiet.depth -= 1


def _install() -> None:
    """Put the filter first; code such as ``warnings.catch_warnings`` may have removed it."""
    filters: Any = warnings.filters
    if not filters or filters[0] is not _FILTER:
        with _lock:
            filters[:] = [_FILTER, *(one for one in filters if one is not _FILTER)]
    for name in ("Image", "ImageFile", "TiffImagePlugin", "PngImagePlugin", "JpegImagePlugin"):
        logging.getLogger(f"PIL.{name}").addFilter(_quiet)


@contextmanager
def without_stderr() -> Iterator[None]:
    """Switch off standard error for the whole process, for libraries in C that write to it.

    Only the command line may do this: in its own process.
    """
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(null)
        os.close(stderr)


@cache
def silence_libtiff() -> None:
    """Stop libtiff from printing errors in this process; Pillow raises them anyway.

    Pillow silences only libtiff's warnings. If libtiff is linked into Pillow's own library, as on
    Windows, its functions can't be reached, and it still prints errors.
    """
    import ctypes

    from PIL import _imaging

    with suppress(AttributeError, OSError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)
