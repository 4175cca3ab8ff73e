"""Count the CPU cores that this process may use."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from emonet.errors import ConfigError

VARIABLE = "EMONET_THREADS"
#: OpenCV reads it when it is imported.
OPENCV_VARIABLE = "OPENCV_FOR_THREADS_NUM"
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


def limit_threads(cores: int) -> None:
    """Limit the threads of this process and of its children, unless the user has set a limit.

    Call it before OpenCV is imported.
    """
    for variable in (VARIABLE, OPENCV_VARIABLE):
        os.environ.setdefault(variable, str(cores))


def limit_to_assigned_cores() -> None:
    """In a Ray actor, limit the threads to the cores that Ray has assigned to the actor.

    Otherwise each actor of a machine would start threads for all cores. An actor without assigned
    cores, such as an actor with a GPU, keeps all cores.
    """
    import ray

    if not ray.is_initialized() or not (context := ray.get_runtime_context()).get_actor_id():
        return
    if cores := context.get_assigned_resources().get("CPU"):
        limit_threads(max(1, int(cores)))


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
