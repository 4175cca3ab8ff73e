"""The memory that a process had at most, in MiB; standard library only, as peers run it too."""

import sys
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None

RESET_PEAK = "5"  # see Linux' proc_pid_clear_refs(5)


def reset_peak() -> None:
    """Start to watch for a new peak; where the system can't, the old one stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)


def peak_mib() -> float | None:
    """Return the most memory that was resident since the last reset, or ever; None on Windows."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)
