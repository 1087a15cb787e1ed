"""Ctrl-C: the first one asks, the second one acts."""

import os
import signal
import threading

import pytest

from cellflow.training.interruption import InterruptFlag, StepFinished


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_only_sets_the_flag_and_the_second_interrupts():
    with InterruptFlag() as flag:
        flag.check()
        press_ctrl_c()
        assert flag.is_set
        with pytest.raises(StepFinished):
            flag.check()
        with pytest.raises(KeyboardInterrupt) as caught:
            press_ctrl_c()
        assert not isinstance(caught.value, StepFinished)


def test_the_old_handler_comes_back():
    before = signal.getsignal(signal.SIGINT)
    with InterruptFlag():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_may_train_without_signals():
    entered = []

    def work():
        with InterruptFlag() as flag:
            entered.append(flag.is_set)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [False]
