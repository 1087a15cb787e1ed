"""A training under a time budget: what is not training is timed, and the length is planned."""

from collections.abc import Callable
from typing import Protocol

from cellflow.training.budget import NEWS, Pace, Plan
from cellflow.training.ranks import Ranks


class HasPlan(Protocol):
    """A position that holds the current plan."""

    plan: Plan


class Planned(Protocol):
    """A training whose length is planned: a `loop.Run`, or a `Fit` of the baselines."""

    pace: Pace

    @property
    def position(self) -> HasPlan:
        """How far it has come."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since it began."""


class Planner:
    """Fits the length and the validations of a training into its time budget, if there is one.

    Parameters
    ----------
    run : Planned
        Its position holds the current plan, its pace the measured times.
    time_validation : callable
        Measures the seconds that a validation takes.
    time_closing : callable
        Measures the seconds of what follows the last validation.
    tell : callable
        ``tell(plan, is_first)`` with a plan that is news.
    ranks : Ranks
        The processes that train together; the first one decides.
    """

    def __init__(
        self,
        run: Planned,
        *,
        time_validation: Callable[[], float],
        time_closing: Callable[[], float] = lambda: 0.0,
        tell: Callable[[Plan, bool], None],
        ranks: Ranks | None = None,
    ) -> None:
        self._run, self._tell, self._ranks = run, tell, ranks or Ranks()
        self._time_validation, self._time_closing = time_validation, time_closing
        self._told_epochs = 0

    def is_validation_due(self, n_done: int, last: int) -> bool:
        """Tell whether to validate after `n_done` epochs, when the last time was after `last`.

        Notes
        -----
        The first validation is timed again before it: the estimate was made with the network of
        the first steps, which may not have found any cells yet.
        """
        pace, position = self._run.pace, self._run.position
        if not pace.is_validation_due(n_done, last, position.plan):
            return False
        if pace.is_limited and not pace.has_validated and n_done < position.plan.n_epochs:
            pace.validation_seconds = self._time_validation()
            self.plan(n_done)
        return pace.is_validation_due(n_done, last, position.plan)

    def plan(self, epochs_done: float) -> None:
        """Plan the epochs and validations anew; a fraction stands for steps of the open epoch."""
        run, position = self._run, self._run.position
        is_first = not self._told_epochs
        if is_first:
            run.pace.validation_seconds = self._time_validation()
            run.pace.closing_seconds = self._time_closing()
        plan = self._ranks.in_first(lambda: run.pace.plan(run.clock(), epochs_done, position.plan))
        position.plan = plan
        if abs(plan.n_epochs - self._told_epochs) > NEWS * self._told_epochs:
            self._told_epochs = plan.n_epochs
            self._tell(plan, is_first)
