"""How many CPUs this process may use, and its rank among the processes of ``torchrun``.

Containers and schedulers often allow fewer CPUs than the machine has.
"""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
"""Mount point of the control groups of Linux; file that lists those of this process."""


def n_processors() -> int:
    """Give the number of threads that can run at once.

    Returns
    -------
    int
        The number of CPUs that this process may run on (affinity), or fewer if a control group
        limits the CPU time. At least 1; fractions are rounded up.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas())]))


def n_processors_each() -> int:
    """Give the CPUs per process that ``torchrun`` has started on this machine; at least 1."""
    return max(1, n_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def n_processes() -> int:
    """Give the number of processes that ``torchrun`` has started, from the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Tell whether this process has rank 0, and so writes files and gives messages."""
    return os.environ.get("RANK", "0") == "0"


def _quotas() -> Iterator[float]:
    """Give the limits, in CPUs, of all control groups of this process, and of their parents.

    Notes
    -----
    Version 2 has ``cpu.max`` ("quota period", or "max period"); version 1 has two files with a
    number each, -1 for no limit. In a container the path that the process sees may begin above the
    part that is mounted; missing files are ignored.
    """
    for line in _read(MEMBERSHIP).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        below = Path(path.lstrip("/"))
        for group in (below, *below.parents):
            if not controllers:
                yield from _ratio(_read(CGROUPS / group / "cpu.max").split())
            elif "cpu" in controllers.split(","):
                folder = CGROUPS / controllers / group
                folder = folder if folder.is_dir() else CGROUPS / "cpu" / group
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                yield from _ratio([_read(folder / name).strip() for name in names])


def _ratio(numbers: list[str]) -> Iterator[float]:
    try:
        quota, period = (float(number) for number in numbers)
    except ValueError:  # "max", or nothing there
        return
    if quota > 0 and period > 0:
        yield quota / period


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
