import os
import signal
import threading
import time

import numba
import numpy as np
import pytest

from cellflow.targets.threads import n_threads, run_shares, share_by_cost, split_evenly


def test_every_item_is_dealt_once(rng):
    costs = rng.random(37)
    for n_shares in (1, 2, 5, 50):
        shares = share_by_cost(costs, n_shares)
        assert sorted(np.concatenate(shares).tolist()) == list(range(37))
        assert all(len(share) for share in shares)


def test_shares_cost_nearly_the_same(rng):
    costs = rng.lognormal(0, 1, 400)
    totals = [costs[share].sum() for share in share_by_cost(costs, 4)]
    assert max(totals) < 1.1 * min(totals)


def test_nothing_to_do_needs_no_share():
    assert share_by_cost(np.zeros(0), 2) == []
    assert split_evenly(0, 10) == []
    run_shares(pytest.fail, [])


def test_ranges_cover_all_items_and_are_not_too_small():
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for n_items in (1, 9, 100, 101):
        ranges = split_evenly(n_items, 10)
        assert [i for part in ranges for i in range(part.start, part.stop)] == list(range(n_items))
        assert len(ranges) <= max(1, n_items // 10)


def test_one_thread_means_the_calling_one():
    before = n_threads()
    numba.set_num_threads(1)
    try:
        seen = []
        run_shares(lambda part: seen.append(threading.current_thread()), split_evenly(10**6, 1))
    finally:
        numba.set_num_threads(before)
    assert seen == [threading.current_thread()]


def test_an_error_in_any_share_reaches_the_caller():
    def fail_on_two(share):
        if share == 2:
            raise ValueError("share 2")

    with pytest.raises(ValueError, match="share 2"):
        run_shares(fail_on_two, [0, 1, 2])


def test_all_shares_have_ended_when_an_error_is_told():
    ended = []

    def work(share):
        if share == 0:
            raise ValueError("share 0")
        time.sleep(0.05)
        ended.append(share)

    with pytest.raises(ValueError, match="share 0"):
        run_shares(work, [0, 1])
    assert ended == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_has_threads_of_its_own():
    run_shares(lambda share: None, [0, 1])
    child = os.fork()
    if child == 0:
        done = []
        run_shares(done.append, [0, 1])
        os._exit(0 if sorted(done) == [0, 1] else 1)
    deadline = time.monotonic() + 30
    while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child waits for threads that it does not have")
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status[1]) == 0
