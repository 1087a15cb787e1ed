"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A bar with ETA that the library drives through ``report(step, numbers)``.

    Parameters
    ----------
    title : str
        Name of the work.
    total : int or None
        Number of steps, if known; may be set later, since the library may plan it.
    unit : str
        Name of one step.
    """

    def __init__(self, title: str, *, total: int | None = None, unit: str = "step") -> None:
        # If torchrun starts several processes on one terminal, only the first shows the bar.
        is_shown = sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"
        self._bar = tqdm(total=total, desc=title, unit=unit, file=sys.stderr, disable=not is_shown)
        self._title, self._unit, self.total = title, unit, total
        self._started = self._last_line = time.monotonic()
        self._first: int | None = None
        self._first_at = 0.0
        self._last = 0

    def __call__(self, step: int, numbers: Mapping[str, float]) -> None:
        """Show that `step` steps are done, with a few numbers."""
        total = int(numbers.get("total", self.total or 0)) or None
        if self._first is None or step < self._last:
            self._begin(step)
        self._last = step
        shown = {key: f"{value:.4g}" for key, value in numbers.items() if key != "total"}
        if not self._bar.disable:
            self._bar.total = total
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES or step == total:
            self._last_line = now
            text = "  ".join(f"{key} {value}" for key, value in shown.items())
            print(self._line(step, total, now, text), file=sys.stderr, flush=True)  # noqa: T201

    def _begin(self, step: int) -> None:
        """Start counting, at the first step or when a new stage sets the step back."""
        # The first step is not timed: it includes compilation, and the start of a stage is unknown.
        self._first_at = time.monotonic()
        if self._first is not None:
            self._started = self._first_at
            self._bar.reset()
        self._first = step
        # A continued run does not begin at 0; earlier steps must not count in the rate.
        self._bar.initial = self._bar.n = step - 1

    def _line(self, step: int, total: int | None, now: float, text: str) -> str:
        elapsed = now - self._started
        of = f"/{total}" if total else ""
        done = step - (self._first or 0)
        each = (now - self._first_at) / done if done else 0.0
        left = f", {each * (total - step):.0f} s left" if total and done else ""
        return f"{self._title}: {self._unit} {step}{of}, {elapsed:.0f} s{left}  {text}".rstrip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
