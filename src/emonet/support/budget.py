"""A memory budget that the threads of this process share."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from emonet.support.forking import after_fork


class Budget:
    """Bytes that threads reserve before they allocate; each waits until its share is free.

    To avoid a deadlock, a thread that holds a share must not reserve another one of the same
    budget.

    Args:
        total: bytes.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        """Free all shares; the threads that held them do not exist in a forked child."""
        self._free = self.total
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, size: int) -> Iterator[Callable[[int], None]]:
        """Hold a share; yield a function that shrinks it to a smaller size.

        Args:
            size: bytes; a size above the total reserves the total.
        """
        held = min(size, self.total)

        def shrink(smaller: int) -> None:
            nonlocal held
            released, held = max(0, held - smaller), min(held, smaller)
            self._release(released)

        with self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield shrink
        finally:
            self._release(held)

    def _release(self, size: int) -> None:
        with self._changed:
            self._free += size
            self._changed.notify_all()


def trim_memory() -> None:
    """Return freed memory to the system; the C library glibc would keep it."""
    if trim := _malloc_trim():
        trim(0)


@cache
def _malloc_trim() -> Any:
    import ctypes

    with suppress(AttributeError, OSError, TypeError):
        return ctypes.CDLL(None).malloc_trim
    return None
