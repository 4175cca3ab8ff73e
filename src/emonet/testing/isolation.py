"""Record the files and hosts that code accesses."""

import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

# Imported code and installed packages are not files that a component depends on.
_CODE = (*importlib.machinery.all_suffixes(), ".pyc")
_INSTALLED = tuple(
    sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_SYSTEM = ("/dev/", "/proc/", "/sys/")

_accessed: ContextVar[list[str] | None] = ContextVar("_accessed", default=None)


@contextmanager
def watch() -> Iterator[list[str]]:
    """Yield a list that collects every file and host that this thread accesses.

    Accesses from Python are recorded; a library that opens a file in C is not noticed.
    """
    _install()
    accessed: list[str] = []
    token = _accessed.set(accessed)
    try:
        yield accessed
    finally:
        _accessed.reset(token)


@cache
def _install() -> None:
    """Add the audit hook once, because a process can't remove it."""
    sys.addaudithook(_record)


def _record(event: str, arguments: tuple[Any, ...]) -> None:
    accessed = _accessed.get()
    if accessed is None:
        return
    if event in ("socket.connect", "socket.getaddrinfo"):
        accessed.append(f"host {arguments[1] if event == 'socket.connect' else arguments[0]}")
    elif event == "open" and isinstance(arguments[0], str | bytes):
        path = os.fsdecode(arguments[0])
        code = path.endswith(_CODE) or "__pycache__" in path
        if not code and not path.startswith(_INSTALLED + _SYSTEM):
            accessed.append(f"file {path}")
