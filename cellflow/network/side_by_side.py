"""Pieces of work side by side on the processors, each in one of PyTorch's threads.

A network's deep levels have few pixels, so that several threads on one of them mostly wait for each
other; a thread for each image has nobody to wait for.
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
    """Give what `work` makes of each item, in their order.

    Parameters
    ----------
    work : callable
        Computes with PyTorch on the CPU. Whether it gets one thread or all must not matter to it.
    items : sequence

    Notes
    -----
    Where there are fewer items than half of PyTorch's threads, they come one after the other, each
    with all threads.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(items) == 1 or 2 * len(items) < n_threads:
        return [work(item) for item in items]
    running = [_workers(n_threads).submit(work, item) for item in items]
    try:
        return [one.result() for one in running]
    finally:
        # After an error nothing may still hold memory that a second attempt will need.
        for one in running:
            one.cancel()
        wait(running)


@lru_cache(maxsize=1)
def _workers(n_threads: int) -> ThreadPoolExecutor:
    """Start threads of which each computes alone."""
    workers, all_are_here = ThreadPoolExecutor(n_threads, "network"), Barrier(n_threads)
    wait([workers.submit(_compute_alone, all_are_here) for _ in range(n_threads)])
    # What a thread sets for itself is also what later threads of the process begin with.
    torch.set_num_threads(n_threads)
    return workers


def _compute_alone(all_are_here: Barrier) -> None:
    # The number is the thread's own; asked for first, since PyTorch sets it when it first computes.
    torch.get_num_threads()
    torch.set_num_threads(1)
    all_are_here.wait()


if hasattr(os, "register_at_fork"):
    # A process that is forked has none of the threads; OpenMP's it lacks as well, so that it can
    # only compute side by side.
    os.register_at_fork(after_in_child=_workers.cache_clear)
