"""Notes which files and hosts a piece of code asks for."""

import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

__all__ = ["watch"]

# Code that is imported late is no file that a component depends on, nor is what comes with it.
_CODE = (*importlib.machinery.all_suffixes(), ".pyc")
_INSTALLED = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_SYSTEM = ("/dev/", "/proc/", "/sys/")

_touched: ContextVar[list[str] | None] = ContextVar("_touched", default=None)


@contextmanager
def watch() -> Iterator[list[str]]:
    """Yield a list to which every file and host is added that this thread asks for.

    Python's own ways are seen; a library that opens a file in C is not.
    """
    _install()
    touched: list[str] = []
    token = _touched.set(touched)
    try:
        yield touched
    finally:
        _touched.reset(token)


@cache
def _install() -> None:
    """Add the hook, which no process can take away again."""
    sys.addaudithook(_note)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    touched = _touched.get()
    if touched is None:
        return
    if event in ("socket.connect", "socket.getaddrinfo"):
        touched.append(f"host {arguments[1] if event == 'socket.connect' else arguments[0]}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        path = os.fsdecode(arguments[0])
        code = path.endswith(_CODE) or "__pycache__" in path
        if not code and not path.startswith(_INSTALLED + _SYSTEM):
            touched.append(f"file {path}")
