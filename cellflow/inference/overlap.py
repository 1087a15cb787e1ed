"""Work on one item that goes on while the next one is begun."""

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
        Taken one at a time.
    begin : callable
        Called with an item in the calling thread; gives what is still to be done.
    n_behind : int
        Items that may be unfinished while the next one is begun, each in a thread of its own. With
        0 there are no threads, and every item is finished before the next is taken.

    Yields
    ------
    item, result
        In the order of the items, as early as that allows.

    Notes
    -----
    An exception of either step comes out here and ends it. Items whose result was not taken are
    then dropped, as they are when the caller closes the iterator; steps that run are waited for.
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
