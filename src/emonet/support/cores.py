"""Count the CPU cores that this process may use."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from emonet.errors import ConfigError

VARIABLE = "EMONET_THREADS"
CONTROL_GROUPS = Path("/sys/fs/cgroup")
#: Lists the control groups of this process, one for each hierarchy.
MEMBERSHIP = Path("/proc/self/cgroup")


def count_cores() -> int:
    """Return EMONET_THREADS, or by default the number of cores available to this process.

    The system may limit a process to some cores (its affinity), or a container to a share of
    the time of all cores (its quota).

    Raises:
        ConfigError: EMONET_THREADS is not a whole number in 1..999.
    """
    if given := os.environ.get(VARIABLE):
        if not re.fullmatch("[1-9][0-9]{0,2}", given):
            raise ConfigError(f"{VARIABLE} must be a whole number in 1..999, got {given!r:.80}")
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min([cores, *map(math.ceil, _quotas())])


def _quotas() -> Iterator[float]:
    """Yield the quotas, in cores, of this process's control groups and of their parents.

    A container may hide the listed group. Then only the quotas of visible parents are found.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except (OSError, ValueError):  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            roots = [CONTROL_GROUPS, CONTROL_GROUPS / "unified"]  # version 2
        elif "cpu" in controllers.split(","):
            roots = [CONTROL_GROUPS / "cpu", CONTROL_GROUPS / controllers]  # version 1
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for root in roots:
            for folder in (group, *group.parents):
                yield from _quota(root / folder)


def _quota(folder: Path) -> Iterator[float]:
    for files in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        # A group without a quota has no such files, or "max" or -1 in them.
        with suppress(OSError, ValueError):
            quota, period = map(int, " ".join((folder / f).read_text() for f in files).split())
            if quota > 0 and period > 0:
                yield quota / period
