"""A progress bar on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(
    title: str, total: int | None, *, wanted: bool = True
) -> Iterator[Callable[[], None]]:
    """Show a progress bar and yield a function that advances it by one.

    Without a total, the bar shows activity only. There is no bar if it is not wanted, or without
    a terminal.
    """
    if not (wanted and _is_terminal(sys.stderr)):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def _is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; services and notebooks replace or close streams."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # None, an object that only writes, or a closed file
        return False
