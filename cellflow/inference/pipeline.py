"""A two-step pipeline: one item is finished in the background while the next one is begun."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def finish_behind(
    items: Iterable[Item], begin: Callable[[Item], Callable[[], Result]], n_behind: int
) -> Generator[tuple[Item, Result], None, None]:
    """Begin items one after the other in this thread, and finish each in another.

    Parameters
    ----------
    items : iterable
        Consumed one at a time.
    begin : callable
        First step, ``begin(item)``, run in the calling thread; gives the second step, a callable
        without arguments.
    n_behind : int
        Items that may be unfinished while the next one is begun, each in a thread of its own. With
        0 there are no threads, and every item is finished before the next one is begun.

    Yields
    ------
    item, result
        In the order of the items, each as soon as possible.

    Notes
    -----
    An exception in either step is raised here and ends the iteration. Results that were not yet
    yielded are then dropped, as they are when the caller closes the iterator; steps that are
    already running are waited for.
    """
    if n_behind == 0:
        for item in items:
            yield item, begin(item)()
        return
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(n_behind, thread_name_prefix="cellflow") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(begin(item))))
                while len(waiting) > n_behind or (waiting and waiting[0][1].done()):
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
