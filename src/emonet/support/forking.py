"""Put this process's state in order after a fork."""

import os
from collections.abc import Callable


def after_fork(function: Callable[[], None]) -> None:
    """Call a function in every child that os.fork makes, before anything else runs there.

    Of all threads, only the one that forks lives on in a child. So a lock that another thread
    holds is never released there, and whoever waits for another thread's work waits for ever.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=function)
