"""Signals: at once before the training, between two steps within it; the second Ctrl-C acts."""

import ctypes
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from cellflow.training import interruption
from cellflow.training.interruption import (
    REQUEUE_SIGNALS,
    InterruptFlag,
    Preempted,
    StepFinished,
)


def send(number):
    os.kill(os.getpid(), number)


def test_the_first_ctrl_c_only_sets_the_flag_and_the_second_interrupts():
    with InterruptFlag() as flag, flag.finishing_steps():
        flag.check()
        send(signal.SIGINT)
        assert flag.is_set
        with pytest.raises(StepFinished) as caught:
            flag.check()
        assert not isinstance(caught.value, Preempted)
        with pytest.raises(KeyboardInterrupt) as caught:
            send(signal.SIGINT)
        assert not isinstance(caught.value, StepFinished)


@pytest.mark.parametrize("number", REQUEUE_SIGNALS)
def test_a_schedulers_signal_finishes_the_step_however_often_it_comes(number):
    with InterruptFlag() as flag, flag.finishing_steps():
        for _ in range(3):
            send(number)
        with pytest.raises(Preempted, match=number.name):
            flag.check()


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, StepFinished), (15, Preempted)])
def test_before_the_training_a_signal_ends_the_run_at_once(number, kind):
    with InterruptFlag(), pytest.raises(kind):
        send(number)


def test_a_signal_within_a_callback_of_the_compiler_is_not_lost():
    place = {"__name__": "llvmlite.binding", "send": send, "number": signal.SIGINT}
    exec("def called(): send(number)", place)
    callback = ctypes.CFUNCTYPE(None)(place["called"])
    with InterruptFlag() as flag, pytest.raises(StepFinished):
        callback()
        assert not flag.is_set
        began = time.monotonic()
        try:
            time.sleep(5)
        finally:
            assert time.monotonic() - began < 3


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, StepFinished), (15, Preempted)])
def test_a_signal_that_was_put_off_ends_a_block_that_is_over_before(number, kind, monkeypatch):
    monkeypatch.setattr("cellflow.training.interruption.LATER", 60.0)
    place = {"__name__": "llvmlite.binding", "send": send, "number": number}
    exec("def called(): send(number)", place)
    before = signal.getsignal(number)
    with pytest.raises(kind), InterruptFlag():
        ctypes.CFUNCTYPE(None)(place["called"])()
    assert signal.getsignal(number) == before


def test_where_a_signal_only_sets_the_flag_the_compiler_does_not_matter():
    place = {"__name__": "llvmlite.binding", "send": send, "number": signal.SIGINT}
    exec("def called(): send(number)", place)
    with InterruptFlag() as flag, flag.finishing_steps():
        ctypes.CFUNCTYPE(None)(place["called"])()
        assert flag.is_set


def test_the_wall_limit_is_a_schedulers_signal_too(monkeypatch):
    clock = SimpleNamespace(monotonic=iter([0.0, 9.0, 10.0]).__next__)
    monkeypatch.setattr(interruption, "time", clock)
    with InterruptFlag(10.0) as flag:
        flag.check()
        with pytest.raises(Preempted, match="the wall limit"):
            flag.check()


def test_the_old_handlers_come_back():
    numbers = (signal.SIGINT, *REQUEUE_SIGNALS)
    before = [signal.getsignal(number) for number in numbers]
    with InterruptFlag():
        assert all(
            signal.getsignal(number) is not handler
            for number, handler in zip(numbers, before, strict=True)
        )
    assert [signal.getsignal(number) for number in numbers] == before


def test_another_thread_may_train_without_signals():
    entered = []

    def work():
        with InterruptFlag() as flag:
            entered.append(flag.is_set)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [False]
