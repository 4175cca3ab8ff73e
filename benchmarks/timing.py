"""Time a call: one run to warm up, several runs, and their spread.

Peers run this module in their own environments, so it needs only the standard library.
"""

import time
from collections.abc import Callable
from statistics import fmean, quantiles


def measure(call: Callable[[], object], *, runs: int, seconds: float) -> dict:
    """Time a call that returns when its device has finished.

    Args:
        call: the function to time. One extra run comes first, to warm up.
        runs: number of runs.
        seconds: no run starts after this time.

    Returns:
        Wall times in milliseconds, the number of runs, and whether the time limit cut them.
    """
    first = _milliseconds(call)
    end = time.perf_counter() + seconds
    times = [_milliseconds(call)]
    while len(times) < runs and time.perf_counter() < end:
        times.append(_milliseconds(call))
    return summary(times, first=first, runs=runs)


def summary(times: list[float], *, first: float, runs: int) -> dict:
    """Return statistics of wall times in milliseconds; ``first`` is the run before them."""
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
