"""Stopping after the step at hand: by Ctrl-C, a scheduler's SIGTERM or SIGUSR1, or a time limit.

Before training begins there is nothing to save, and a signal ends the run at once. Later it only
sets a flag, which the loop checks where its state is complete.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from cellflow.telling import Say

REQUEUE_EXIT_CODE = 75
"""EX_TEMPFAIL of BSD's ``sysexits.h``: nothing is wrong, run the same command again."""

REQUEUE_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""What schedulers send before they end a job; Windows has no SIGUSR1."""

LATER = 0.05
"""Seconds after which a signal that arrived within the compiler is sent again."""


class StepFinished(KeyboardInterrupt):
    """Ctrl-C: the run was asked to stop, and its state is complete and can be saved.

    Attributes
    ----------
    is_told : bool
        Whether the user has been told how to go on.
    """

    is_told = False


class Preempted(StepFinished):
    """The same by a scheduler or a time limit: the same command will continue the run."""


@contextmanager
def telling_how_to_go_on(go_on: str, say: Say) -> Iterator[None]:
    """Tell the command that continues when a signal ends the block, unless that is done already."""
    try:
        yield
    except StepFinished as stop:
        if not stop.is_told:
            say(f"stopped by {stop}; continue with:\n  {go_on}")
            stop.is_told = True
        raise


class InterruptFlag:
    """Within its ``with`` block, signals end the run between two steps and not anywhere.

    Parameters
    ----------
    stop_after : float, optional
        Seconds from now after which the run stops as if a scheduler had asked.

    Attributes
    ----------
    agree : callable
        Called by `check` with whether this process was asked to stop; returns whether any process
        was, so that processes that train together stop at the same step.

    Notes
    -----
    Outside the main thread, where Python delivers no signals, no handler is set.
    """

    def __init__(self, stop_after: float | None = None) -> None:
        self.reason: str | None = None
        self._stop_at = math.inf if stop_after is None else time.monotonic() + stop_after
        self._finishes_steps = False
        self._previous: dict[int, Any] = {}
        self._late: dict[int, threading.Timer] = {}
        self.agree: Callable[[bool], bool] = bool

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *REQUEUE_SIGNALS):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            late = self._call_off()
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
        if late and error is None:
            self._ask_for(late[0])
            raise self._stop()

    @contextmanager
    def finishing_steps(self) -> Iterator[None]:
        """Within this inner block a signal only sets the flag; a second Ctrl-C acts at once."""
        self._finishes_steps = True
        try:
            yield
        finally:
            self._finishes_steps = False

    def ask(self, reason: str) -> None:
        """Ask the run to stop; `reason` is ``Ctrl-C`` or what else it was."""
        self.reason = reason

    @property
    def is_set(self) -> bool:
        """Whether the run was asked to stop."""
        if self.reason is None and time.monotonic() >= self._stop_at:
            self.reason = "the wall limit"
        return self.reason is not None

    def check(self) -> None:
        """Raise if the run was asked to stop; called where the state is complete.

        Raises
        ------
        StepFinished
            After Ctrl-C.
        Preempted
            After another signal, or at the wall limit.
        """
        if self.agree(self.is_set):
            self.reason = self.reason or "a signal to another process"
            raise self._stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_second = self.reason == "Ctrl-C" and number == signal.SIGINT
        leaves_at_once = is_second or not self._finishes_steps
        if leaves_at_once and _is_in_compiler(frame):
            self._late[number] = threading.Timer(LATER, _send, (number,))
            self._late[number].daemon = True
            self._late[number].start()
            return
        if is_second:
            raise KeyboardInterrupt
        self._ask_for(number)
        if leaves_at_once:
            raise self._stop()

    def _ask_for(self, number: int) -> None:
        self.ask("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)

    def _call_off(self) -> list[int]:
        """Cancel the signals that were put off and have not come again; give their numbers."""
        late = [number for number, timer in self._late.items() if timer.is_alive()]
        for number in late:
            self._late[number].cancel()
            self._late[number].join()
        return late

    def _stop(self) -> StepFinished:
        kind = StepFinished if self.reason == "Ctrl-C" else Preempted
        return kind(self.reason)


def _send(number: int) -> None:
    """Send a signal to this process; where the system can, so that a waiting main thread wakes."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _is_in_compiler(frame: FrameType | None) -> bool:
    """Tell whether LLVM called this code: an error in its callbacks is printed and then lost."""
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("llvmlite"):
            return True
        frame = frame.f_back
    return False
