"""Reset state in forked child processes."""

import os
from collections.abc import Callable


def after_fork(function: Callable[[], None]) -> None:
    """Call a function in every child of os.fork, before any other code runs there.

    A child has only the thread that forked. If another thread of the parent held a lock, the lock
    is never released in the child. The work of other threads never ends there either.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=function)
