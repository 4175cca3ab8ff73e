"""How a thing is timed: warmed up, several times over, with the spread.

Only the standard library is used here: peers run this in environments of their own.
"""

import time
from collections.abc import Callable
from statistics import fmean, quantiles


def measure(call: Callable[[], object], *, runs: int, seconds: float) -> dict:
    """Time a call that returns when its device is done.

    Args:
        call: what is timed; once before the others, to warm up.
        runs: how often.
        seconds: no further run starts after this long.

    Returns:
        Wall times in milliseconds, how many runs there were, and whether time cut them.
    """
    first = _milliseconds(call)
    end = time.perf_counter() + seconds
    times = [_milliseconds(call)]
    while len(times) < runs and time.perf_counter() < end:
        times.append(_milliseconds(call))
    return summary(times, first=first, runs=runs)


def summary(times: list[float], *, first: float, runs: int) -> dict:
    """Describe wall times in milliseconds; the first, before them, is told apart."""
    percentiles = quantiles(times, n=20, method="inclusive") if len(times) > 1 else times * 19
    return {
        "ms_mean": fmean(times),
        "ms_p50": percentiles[9],
        "ms_p95": percentiles[18],
        "ms_min": min(times),
        "ms_first": first,
        "runs": len(times),
        "cut": len(times) < runs,
    }


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)
