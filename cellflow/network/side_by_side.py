"""Pieces of work side by side on the processors, each in one of PyTorch's threads.

A network's deep levels have few pixels, so that several threads on one of them mostly wait for each
other; a thread for each image has nobody to wait for.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
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
    if n_threads == 1 or 2 * len(items) < n_threads or len(items) == 1:
        return [work(item) for item in items]
    return list(_workers(n_threads).map(work, items))


@lru_cache(maxsize=1)
def _workers(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, "network", initializer=_compute_alone)


def _compute_alone() -> None:
    # The number is the thread's own; asked for first, since PyTorch sets it when it first computes.
    torch.get_num_threads()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    # A process that is forked has none of the threads.
    os.register_at_fork(after_in_child=_workers.cache_clear)
