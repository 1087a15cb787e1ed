"""How many epochs and validations fit into a time budget."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

SAFETY = 0.92
"""Share of the remaining time that is planned; the rest is for pictures, files and noise."""
VALIDATION_SHARE = 0.2
"""Share of the time that validations may take, at most, not counting the last, which always
runs."""
N_WARMUP_STEPS, N_TIMED_STEPS = 2, 4
"""The first steps of a sitting are slower (caches, compilers) and not timed; the plan is made
after the next few."""
GROWTH = 1.05
"""A run is made longer only by more than this factor: each change moves the learning rate."""
LATEST_GROWTH = 0.75
"""Nor is it made longer after this share of its epochs."""
NEWS = 0.1
"""A plan that changes by a smaller share is followed without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Epochs of a run, and epochs between two validations."""

    n_epochs: int
    validate_every: int


def plan_epochs(
    seconds_left: float,
    *,
    epoch_seconds: float,
    validation_seconds: float,
    epochs_done: float,
    wanted: Plan,
) -> Plan:
    """Give the longest run, at most the wanted one, that fits.

    Parameters
    ----------
    seconds_left : float
        Wall-clock time left of the budget.
    epoch_seconds : float
        What the steps of an epoch take, above 0.
    validation_seconds : float
        What a validation of all held-out images takes; 0 without any.
    epochs_done : float
        A fraction stands for the steps of an unfinished epoch.
    wanted : Plan
        As configured.

    Returns
    -------
    Plan
        At least one more epoch, or the unfinished one, even if it does not fit: `Pace.is_over`
        then ends it. Validations become rarer if they would take too large a share.
    """
    seldom = validation_seconds * (1 - VALIDATION_SHARE) / VALIDATION_SHARE / epoch_seconds
    validate_every = max(wanted.validate_every, math.ceil(seldom))
    per_epoch = epoch_seconds + validation_seconds / validate_every
    n_more = max(0.0, seconds_left * SAFETY - validation_seconds) / per_epoch
    n_epochs = max(math.floor(epochs_done) + 1, math.floor(epochs_done + n_more + 1e-9))
    return Plan(n_epochs=min(wanted.n_epochs, n_epochs), validate_every=validate_every)


def seconds_of(work: Callable[[], object]) -> float:
    """Time the second of two calls: the first includes what happens only once."""
    work()
    before = time.monotonic()
    work()
    return time.monotonic() - before


class Pace:
    """Watches how long steps and validations take, and plans by it.

    The attributes `validation_seconds` and `closing_seconds` (what follows the last validation) are
    set by whoever measures them.

    Parameters
    ----------
    wanted : Plan
        As configured: the longest run.
    n_steps : int
        Steps of an epoch.
    max_seconds : float, optional
        The budget for everything.
    """

    def __init__(self, wanted: Plan, n_steps: int, max_seconds: float | None = None) -> None:
        self.wanted, self.n_steps = wanted, n_steps
        self.max_seconds = math.inf if max_seconds is None else max_seconds
        self.validation_seconds = 0.0
        self.closing_seconds = 0.0
        self.has_validated = False
        self._n_seen = 0
        self._steps: deque[float] = deque(maxlen=50)

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget at all."""
        return math.isfinite(self.max_seconds)

    def note_validation(self, seconds: float) -> None:
        """Note how long a validation took; before the first, `validation_seconds` is estimated."""
        self.validation_seconds, self.has_validated = seconds, True

    def add_step(self, seconds: float) -> None:
        """Note how long a step took."""
        self._n_seen += 1
        if self._n_seen == N_WARMUP_STEPS + 1:
            self._steps.clear()
        self._steps.append(seconds)

    @property
    def is_timing(self) -> bool:
        """Whether the next step to be noted is one of the first, by which the plan is made."""
        return self.is_limited and self._n_seen < N_WARMUP_STEPS + N_TIMED_STEPS

    @property
    def is_time_to_plan(self) -> bool:
        """Whether the step that was just noted completes the first timing."""
        return self.is_limited and self._n_seen == N_WARMUP_STEPS + N_TIMED_STEPS

    @property
    def is_planned(self) -> bool:
        """Whether the run's length is known: there is no budget, or the first plan is made."""
        return not self.is_limited or self._n_seen > N_WARMUP_STEPS + N_TIMED_STEPS

    @property
    def step_seconds(self) -> float:
        """Mean over the latest steps."""
        return sum(self._steps) / max(1, len(self._steps))

    def is_validation_due(self, n_done: int, last: int, plan: Plan) -> bool:
        """Tell whether to validate after `n_done` epochs, when the last time was after `last`.

        Notes
        -----
        Counted from the last time, since a plan may change `validate_every` on the way. Under a
        budget there is none before the first plan, and none shortly before the last one (within
        half of `validate_every`).
        """
        n_left = plan.n_epochs - n_done
        if n_left == 0:
            return True
        is_due = n_done - last >= plan.validate_every
        if not self.is_limited:
            return is_due
        return is_due and self.is_planned and 2 * n_left >= plan.validate_every

    def is_over(self, seconds: float) -> bool:
        """Tell whether only the last validation and what follows it still fit, after `seconds`."""
        last = self.validation_seconds + self.closing_seconds
        return seconds * 1.01 + last >= self.max_seconds

    def describe_end(self, length: str) -> str:
        """Say that the time was over before a training of this `length` had reached its plan."""
        return f"the budget of {self.max_seconds / 60:g} min ends the training after {length}"

    def plan(self, seconds: float, epochs_done: float, current: Plan) -> Plan:
        """Give the plan after so many seconds and epochs: shorter at need, longer if early."""
        plan = plan_epochs(
            self.max_seconds - self.closing_seconds - seconds,
            epoch_seconds=max(1e-6, self.step_seconds * self.n_steps),
            validation_seconds=self.validation_seconds,
            epochs_done=epochs_done,
            wanted=self.wanted,
        )
        is_early = epochs_done < current.n_epochs * LATEST_GROWTH
        if plan.n_epochs > current.n_epochs and not (
            is_early and plan.n_epochs > current.n_epochs * GROWTH
        ):
            return Plan(n_epochs=current.n_epochs, validate_every=plan.validate_every)
        return plan
