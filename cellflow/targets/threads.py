"""How Numba kernels share the processors.

A kernel is compiled without ``parallel``, releases the GIL, and works on a share of the items:
cells, or a range of pixels. Shares write to disjoint places and exchange nothing, so the result
does not depend on their number. Why plain threads and not Numba's ``prange``:
`docs/decisions/0020-threads.md`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def n_threads() -> int:
    """Give how many threads a call may use.

    Notes
    -----
    This is Numba's own setting: ``NUMBA_NUM_THREADS`` in the environment, or
    ``numba.set_num_threads(1)``, for instance in a loader process. With 1 no thread is started.
    """
    return int(numba.get_num_threads())


def share_by_cost(costs: NDArray[Any], n_shares: int) -> list[NDArray[np.int64]]:
    """Deal items to shares of nearly equal cost.

    Parameters
    ----------
    costs : (N,) real
    n_shares : int

    Returns
    -------
    list of int64 arrays
        Indices of each share's items; empty shares are left out. The most expensive items are dealt
        first, back and forth, so that no share gets a large one last.
    """
    order = np.argsort(-np.asarray(costs), kind="stable")
    turns = np.arange(len(order)) % (2 * n_shares)
    owners = np.minimum(turns, 2 * n_shares - 1 - turns)
    shares = [order[owners == share] for share in range(n_shares)]
    return [share for share in shares if len(share)]


def split_evenly(n_items: int, least: int) -> list[slice]:
    """Cut ``range(n_items)`` into one slice a thread, each of at least `least` items."""
    n_shares = max(1, min(n_threads(), n_items // least))
    limits = [n_items * k // n_shares for k in range(n_shares + 1)]
    return [slice(a, b) for a, b in pairwise(limits) if b > a]


def run_shares(work: Callable[[Any], object], shares: Sequence[Any]) -> None:
    """Call ``work(share)`` for every share, each in its own thread.

    Parameters
    ----------
    work : callable
        Runs a kernel that releases the GIL and writes only to its own part of the output. Must not
        call `run_shares` itself.
    shares : sequence
        A single share is done by the calling thread.

    Notes
    -----
    Threads are kept for the next call: giving one a share costs 0.02 ms, starting one 0.1 ms.
    Simultaneous calls share the same threads.
    """
    if len(shares) <= 1:
        for share in shares:
            work(share)
        return
    others = [_workers().submit(work, share) for share in shares[1:]]
    try:
        work(shares[0])
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _workers() -> ThreadPoolExecutor:
    """Give the thread pool of this process; threads start when there is work for them."""
    return ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS, thread_name_prefix="cellflow")


if hasattr(os, "register_at_fork"):
    # A forked child has none of the threads and would wait for them for ever.
    os.register_at_fork(after_in_child=_workers.cache_clear)
