"""Peak memory of a process. Peers run this too, so it needs only the standard library."""

import sys
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

RESET_PEAK = "5"  # see Linux's proc_pid_clear_refs(5)


def reset_peak() -> None:
    """Reset the peak of memory; do nothing on systems without a reset."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def peak_mib() -> float | None:
    """Return the peak of resident memory since the last reset, in MiB; None on Windows."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
