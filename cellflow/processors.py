"""How many processors a process may use, and its place among those that ``torchrun`` started.

Containers and schedulers allow fewer processors than there are.
"""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def n_processors(cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> int:
    """Give how many threads can run at once.

    Parameters
    ----------
    cgroups : Path
        Where Linux shows its control groups.
    membership : Path
        Which of them this process is in.

    Returns
    -------
    int
        At least 1: the processors that it may run on (affinity), or fewer where a control group
        allows less time. A share of a processor counts as one more.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas(cgroups, membership))]))


def n_processors_each() -> int:
    """Give the share of one of the processes that ``torchrun`` started on this machine."""
    return max(1, n_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def n_processes() -> int:
    """Give how many processes ``torchrun`` has started, by what it says in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process writes and speaks, by what ``torchrun`` says in the environment."""
    return os.environ.get("RANK", "0") == "0"


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """Give the limit of each control group that this process is in, and of all above, processors.

    Notes
    -----
    Version 2 has ``cpu.max`` ("quota period", or "max period"), version 1 two files of a number
    each, -1 for none. Within a container the path that the process sees may begin above the part
    that is mounted; what is not there is passed over.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        below = Path(path.lstrip("/"))
        for group in (below, *below.parents):
            if not controllers:
                yield from _ratio(_read(cgroups / group / "cpu.max").split())
            elif "cpu" in controllers.split(","):
                folder = cgroups / controllers / group
                folder = folder if folder.is_dir() else cgroups / "cpu" / group
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
