"""Settings of the whole process, which a program may make and a library may not."""

import os
import sys

from cellflow.processors import n_processors_each

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
"""glibc's numbers for `mallopt` (malloc.h)."""
TOP_PAD = 64 * 2**20
"""Bytes that are asked of the system at once."""

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
"""How threads wait. The second is for GNU's OpenMP, which is PyTorch's on Linux, and says there for
how many rounds a thread looks before it sleeps, a tenth of a millisecond."""


def prepare() -> None:
    """Settle threads and memory; to be called before torch and Numba load.

    Notes
    -----
    As many threads as the process may use processors, which hardly spin when they wait; freed
    memory is kept. What the user has set in the environment stands. The reasons, measured:
    ``docs/decisions/0001-openmp-hardly-spins.md`` and ``0002-freed-memory-is-kept.md``.
    """
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)
    n_threads = n_processors_each()
    if n_threads < (os.cpu_count() or 1):
        # Both count processors by themselves, but not what a control group allows.
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, str(n_threads))
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if sys.platform == "linux" and not is_set:
        keep_freed_memory()


def abandon_output() -> None:
    """Send what is still to be printed nowhere, after standard output has failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def keep_freed_memory() -> bool:
    """Have glibc reuse the memory of freed arrays instead of giving it back to the system.

    Returns
    -------
    bool
        Whether it will; False where the C library has no such setting.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD), (M_ARENA_MAX, 1))
    return all(mallopt(*setting) == 1 for setting in settings)
