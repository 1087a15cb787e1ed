"""A baseline under a time budget: its length and validations are planned from measured times."""

import time
from collections.abc import Callable

from cellflow.baselines.fit import Fit
from cellflow.telling import Say
from cellflow.training.budget import NEWS, Plan
from cellflow.training.history import History
from cellflow.wording import counted

N_PLANS = 20
"""The length is planned again about this many times, and after each validation."""


class FitPlanner:
    """Fits the iterations and validations of a baseline into its time budget, if there is one.

    Parameters
    ----------
    run : Fit
        Its position holds the current plan, its pace the measured times.
    history : History
        Says when the last validation was.
    n_held_out : int
        Images of a validation; 0 = none are made.
    predict_one : callable
        Predicts the cells of a held-out image, to be timed.
    say : callable
        ``say(text)`` with a new plan.

    Notes
    -----
    To `Pace` an iteration is an epoch of one step. The counterpart of `training.planning.Planner`.
    """

    def __init__(
        self,
        run: Fit,
        history: History,
        *,
        n_held_out: int,
        predict_one: Callable[[], object],
        say: Say,
    ) -> None:
        self._run, self._history, self._say = run, history, say
        self._n_held_out, self._predict_one = n_held_out, predict_one
        self._told_length = 0

    def after_iteration(self) -> None:
        """Plan for the first time once the first iterations were timed, later now and then."""
        position = self._run.position
        is_time = position.iteration % max(1, position.n_iterations // N_PLANS) == 0
        if self._run.pace.is_time_to_plan or (self._may_plan and is_time):
            self._plan()

    def after_interval(self) -> None:
        """Plan again after a validation, unless the run is over."""
        if self._may_plan and self._run.position.iteration < self._run.position.n_iterations:
            self._plan()

    def is_validation_due(self) -> bool:
        """Tell whether to validate now; the first time, measure how long a validation takes."""
        pace, position = self._run.pace, self._run.position
        if not self._n_held_out or not pace.is_limited:
            return bool(self._n_held_out)
        rows, done = self._history.rows, position.iteration
        last = max((row.step for row in rows if row.validation is not None), default=0)
        if not pace.is_validation_due(done, last, self._current):
            return False
        if not pace.has_validated and done < position.n_iterations:
            self._time_validation()
            self._plan()
        return pace.is_validation_due(done, last, self._current)

    @property
    def _may_plan(self) -> bool:
        """Whether there is a time budget, and the first iterations have been timed."""
        pace = self._run.pace
        return pace.is_limited and (pace.is_planned or pace.is_time_to_plan)

    @property
    def _current(self) -> Plan:
        position = self._run.position
        return Plan(n_epochs=position.n_iterations, validate_every=position.validate_every)

    def _plan(self) -> None:
        run, position = self._run, self._run.position
        if not self._told_length:
            self._time_validation()
        plan = run.pace.plan(run.clock(), position.iteration, self._current)
        position.n_iterations, position.validate_every = plan.n_epochs, plan.validate_every
        if abs(plan.n_epochs - self._told_length) > NEWS * self._told_length:
            self._told_length = plan.n_epochs
            self._say(
                f"plan: {counted(plan.n_epochs, 'iteration')} in "
                f"{run.pace.max_seconds / 60:g} min ({run.pace.step_seconds:.2g} s an iteration)"
            )

    def _time_validation(self) -> None:
        """Time the prediction of an image; the first of two includes what is loaded only once."""
        if not self._n_held_out:
            return
        self._predict_one()
        before = time.monotonic()
        self._predict_one()
        self._run.pace.validation_seconds = (time.monotonic() - before) * self._n_held_out
