"""Work side by side: in order, a thread each, and all of its errors."""

import multiprocessing
import os
import threading
import time

import pytest
import torch

from cellflow.network.side_by_side import side_by_side


@pytest.fixture
def threads():
    """Set PyTorch's number of threads, and in the end set it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def who(_):
    time.sleep(0.02)
    return threading.current_thread().name, torch.get_num_threads()


def test_results_come_in_the_order_of_the_items(threads):
    threads(3)
    delays = [0.05, 0.0, 0.02, 0.01]
    assert side_by_side(lambda delay: (time.sleep(delay), delay)[1], delays) == delays
    assert side_by_side(who, []) == []


def test_each_has_a_thread_of_its_own_and_the_caller_keeps_all(threads):
    threads(3)
    found = side_by_side(who, range(6))
    assert len({name for name, _ in found}) == 3
    assert {n_threads for _, n_threads in found} == {1}
    assert threading.current_thread().name not in dict(found)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("n_threads", "n_items"), [(1, 4), (4, 1), (6, 2)])
def test_too_few_items_have_all_threads_one_after_the_other(threads, n_threads, n_items):
    threads(n_threads)
    here = threading.current_thread().name
    assert side_by_side(who, range(n_items)) == [(here, n_threads)] * n_items


def test_threads_that_begin_later_have_all_threads(threads):
    threads(4)
    side_by_side(who, range(4))
    later = []
    other = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert later == [4]


def test_after_an_error_nothing_goes_on(threads):
    threads(2)
    begun, done = [], []

    def fail(item):
        begun.append(item)
        if item == 0:
            raise torch.OutOfMemoryError("no more")
        time.sleep(0.1)
        done.append(item)

    with pytest.raises(torch.OutOfMemoryError, match="no more"):
        side_by_side(fail, range(8))
    assert sorted(done) == sorted(begun)[1:]
    assert len(begun) < 8
    assert side_by_side(str, range(3)) == ["0", "1", "2"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_starts_threads_of_its_own(threads):
    threads(2)
    side_by_side(who, range(4))
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=lambda: results.put(side_by_side(str, range(4))))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert results.get() == ["0", "1", "2", "3"]
