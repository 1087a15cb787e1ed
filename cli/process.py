"""Settings of the whole process, which a program may change but a library must not."""

import os
import sys

from cellflow.processors import n_processors_each

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
"""glibc's constants for `mallopt` (malloc.h)."""
TOP_PAD = 64 * 2**20
"""Bytes requested from the system at once."""

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
"""How idle threads wait. The second is for GNU's OpenMP, which PyTorch uses on Linux: the number of
rounds that a thread spins before it sleeps, about a tenth of a millisecond."""


def prepare() -> None:
    """Configure threads and memory; to be called before torch and Numba are loaded.

    Notes
    -----
    Uses one thread per available processor, which hardly spin when idle, and keeps freed memory.
    Variables that the user has set in the environment take precedence. For reasons and
    measurements see ``docs/decisions/0001-openmp-hardly-spins.md`` and
    ``0002-freed-memory-is-kept.md``.
    """
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)
    n_threads = n_processors_each()
    if n_threads < (os.cpu_count() or 1):
        # torch and Numba count processors themselves, but ignore the limits of control groups.
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, str(n_threads))
    is_set = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if sys.platform == "linux" and not is_set:
        keep_freed_memory()


def abandon_output() -> None:
    """Discard further output after standard output has failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def keep_freed_memory() -> bool:
    """Have glibc reuse the memory of freed arrays instead of giving it back to the system.

    Returns
    -------
    bool
        Whether it will; False if the C library has no such setting.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, TOP_PAD), (M_ARENA_MAX, 1))
    return all(mallopt(*setting) == 1 for setting in settings)
