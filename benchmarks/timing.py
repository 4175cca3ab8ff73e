"""How a thing is timed: warmed up, several times over, with the spread."""

import time
from collections.abc import Callable
from statistics import median


def milliseconds(call: Callable[[], object], *, repeat: int) -> dict:
    """Return median, least and most of a call's wall time, after one call for warming up."""
    call()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return {"median": median(times), "min": min(times), "max": max(times)}
