"""Keep libraries that decode untrusted files from writing to stderr."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any


class _Quiet(threading.local):
    """A filter of warnings and of log records that drops those of threads that decode.

    Filters belong to the process, and exchanging them for a while is not thread-safe. This one
    stays, and looks at the thread.
    """

    depth = 0

    def match(self, module: str) -> bool:
        """Return whether a warning is dropped; ``warnings`` calls it like a pattern's method."""
        return self.depth > 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a log record is kept."""
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
    """Put the filter first; others, such as ``warnings.catch_warnings``, may have removed it."""
    filters: Any = warnings.filters
    if not filters or filters[0] is not _FILTER:
        with _lock:
            filters[:] = [_FILTER, *(one for one in filters if one is not _FILTER)]
    for name in ("Image", "ImageFile", "TiffImagePlugin", "PngImagePlugin", "JpegImagePlugin"):
        logging.getLogger(f"PIL.{name}").addFilter(_quiet)


@cache
def silence_libtiff() -> None:
    """Keep libtiff from printing errors, for the whole process; Pillow raises them anyway.

    Pillow silences only libtiff's warnings. Where libtiff is a part of Pillow's own library,
    as on Windows, its functions can't be reached, and it goes on printing.
    """
    import ctypes

    from PIL import _imaging

    with suppress(AttributeError, OSError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)
