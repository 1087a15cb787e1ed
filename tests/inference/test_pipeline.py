"""Items are begun in this thread, finished in others, and come out in order."""

import threading
import time

import pytest

from cellflow.inference.pipeline import finish_behind


@pytest.mark.parametrize("n_behind", [0, 1, 2, 9])
def test_results_come_in_order_whatever_takes_longest(n_behind):
    def begin(item):
        return lambda: time.sleep(0.02 * (item % 3 == 0)) or item**2

    assert list(finish_behind(range(7), begin, n_behind)) == [(k, k**2) for k in range(7)]


@pytest.mark.parametrize("n_behind", [1, 2, 3])
def test_no_more_items_than_allowed_are_unfinished(n_behind):
    begun, finished, most = [], [], []

    def begin(item):
        begun.append(item)
        most.append(len(begun) - len(finished))

        def finish():
            time.sleep(0.005)
            finished.append(item)

        return finish

    list(finish_behind(range(8), begin, n_behind))
    # The one that is begun, and those behind it.
    assert max(most) == n_behind + 1


def test_an_item_is_finished_while_the_next_is_begun():
    second_begun = threading.Event()

    def begin(item):
        if item == 1:
            second_begun.set()
        return lambda: second_begun.wait(10)

    assert [result for _, result in finish_behind([0, 1], begin, 1)] == [True, True]


def test_without_threads_nothing_is_begun_before_the_last_is_finished():
    events = []

    def begin(item):
        events.append(f"begin {item}")
        return lambda: events.append(f"finish {item}") or threading.current_thread()

    threads = [result for _, result in finish_behind(range(2), begin, 0)]
    assert events == ["begin 0", "finish 0", "begin 1", "finish 1"]
    assert set(threads) == {threading.current_thread()}


@pytest.mark.parametrize("n_behind", [0, 2])
@pytest.mark.parametrize("step", ["begin", "finish"])
def test_an_error_of_either_step_comes_out(n_behind, step):
    def finish(item):
        if item == 2 and step == "finish":
            raise ValueError("no")
        return item

    def begin(item):
        if item == 2 and step == "begin":
            raise ValueError("no")
        return lambda: finish(item)

    seen = []
    with pytest.raises(ValueError, match="no"):
        for item, _ in finish_behind(range(5), begin, n_behind):
            seen.append(item)
    assert seen == [0, 1][: len(seen)]
    assert len(seen) == 2 or (n_behind and step == "begin")


def test_closing_waits_for_what_runs_and_drops_the_rest():
    finished = []

    def begin(item):
        return lambda: time.sleep(0.01) or finished.append(item)

    results = finish_behind(range(100), begin, 2)
    next(results)
    results.close()
    n_finished = len(finished)
    assert 1 <= n_finished <= 4
    time.sleep(0.05)
    assert len(finished) == n_finished
