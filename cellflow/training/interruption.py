"""Ctrl-C that finishes the step: the signal becomes a question that the loop asks."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StepFinished(KeyboardInterrupt):
    """Ctrl-C, raised where the run's state is whole and can be saved."""


class InterruptFlag:
    """Within its block the first Ctrl-C only sets a flag; a second one interrupts at once.

    Notes
    -----
    Outside the main thread, where Python delivers no signals, nothing is changed.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def check(self) -> None:
        """Raise `StepFinished` when the flag is set; asked where the state is whole."""
        if self.is_set:
            raise StepFinished

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.is_set:
            raise KeyboardInterrupt
        self.is_set = True
