"""Pieces of work in parallel on the processors, each with a single thread of PyTorch.

A network's deep levels have few pixels, so that several threads on one level mostly wait for each
other; one thread for each image need not wait.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Give ``[work(item) for item in items]``, computed in parallel.

    Parameters
    ----------
    work : callable
        Computes with PyTorch on the CPU; its result must not depend on the number of threads.
    items : sequence

    Notes
    -----
    If there are fewer items than half of PyTorch's threads, they are computed one after the other,
    each with all threads.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(items) == 1 or 2 * len(items) < n_threads:
        return [work(item) for item in items]
    running = [_workers(n_threads).submit(work, item) for item in items]
    try:
        return [one.result() for one in running]
    finally:
        # After an error nothing may still hold memory, which a second attempt will need.
        for one in running:
            one.cancel()
        wait(running)


@lru_cache(maxsize=1)
def _workers(n_threads: int) -> ThreadPoolExecutor:
    """Start threads in each of which PyTorch computes with one thread."""
    workers, all_are_here = ThreadPoolExecutor(n_threads, "network"), Barrier(n_threads)
    wait([workers.submit(_compute_alone, all_are_here) for _ in range(n_threads)])
    # The number that a thread sets for itself is also the default of later threads.
    torch.set_num_threads(n_threads)
    return workers


def _compute_alone(all_are_here: Barrier) -> None:
    # The number is the thread's own. Asking for it first keeps PyTorch from resetting it later.
    torch.get_num_threads()
    torch.set_num_threads(1)
    all_are_here.wait()


if hasattr(os, "register_at_fork"):
    # A forked process has none of these threads, nor those of OpenMP.
    os.register_at_fork(after_in_child=_workers.cache_clear)
