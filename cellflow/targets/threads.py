"""How the kernels of targets and dynamics share the processors.

A kernel is compiled serially, releases the GIL, and works on a share of the items: cells, or a
range of pixels. Shares write to disjoint places and no number crosses between them, so the result
does not depend on how many there are. Plain threads are used and not Numba's ``prange``;
`docs/decisions/0020-threads.md` says why.
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
    ``numba.set_num_threads(1)`` in a loader process, or in the one thread that shall stay alone.
    With 1 no thread is started.
    """
    return int(numba.get_num_threads())


def share_by_cost(costs: NDArray[Any], n_shares: int) -> list[NDArray[np.int64]]:
    """Deal items to shares so that the costs come out nearly equal.

    Parameters
    ----------
    costs : (N,) real
    n_shares : int

    Returns
    -------
    list of int64 arrays
        The items of each share; empty shares are left out. The most expensive items are dealt
        first, back and forth, so that no share is left with a large one at the end.
    """
    order = np.argsort(-np.asarray(costs), kind="stable")
    turns = np.arange(len(order)) % (2 * n_shares)
    owners = np.minimum(turns, 2 * n_shares - 1 - turns)
    shares = [order[owners == share] for share in range(n_shares)]
    return [share for share in shares if len(share)]


def split_evenly(n_items: int, least: int) -> list[slice]:
    """Cut ``0 … n_items`` into one range a thread, each of at least `least` items."""
    n_shares = max(1, min(n_threads(), n_items // least))
    limits = [n_items * k // n_shares for k in range(n_shares + 1)]
    return [slice(a, b) for a, b in pairwise(limits) if b > a]


def run_shares(work: Callable[[Any], object], shares: Sequence[Any]) -> None:
    """Call ``work(share)`` for every share, each in its own thread.

    Parameters
    ----------
    work : callable
        Runs a kernel that releases the GIL and writes to places of its own. Must not call
        `run_shares` itself.
    shares : sequence
        With one share the calling thread does it all.

    Notes
    -----
    The threads are kept for the next call: handing one a share costs 0.02 ms, starting one 0.1 ms.
    Calls from several threads at once share them.
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
    """Give the threads of this process; each is started when there is work for it."""
    return ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS, thread_name_prefix="cellflow")


if hasattr(os, "register_at_fork"):
    # Threads do not survive in the child of a fork, which would wait for them for ever.
    os.register_at_fork(after_in_child=_workers.cache_clear)
