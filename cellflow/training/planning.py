"""A run under a time budget: what is not training is timed, and the length is planned and told."""

import time
from collections.abc import Sequence
from typing import cast

from cellflow.data.dataset import Entry
from cellflow.network.cpnet import CPnet
from cellflow.training.budget import NEWS, Plan
from cellflow.training.loop import Run
from cellflow.training.validation import Validator
from cellflow.wording import counted

FEWEST_STEPS = 100
"""From random weights; a shorter plan is said to be too short to be of use (docs/log.md)."""


class Planner:
    """Fits the epochs and validations of a run into its time budget.

    Parameters
    ----------
    run : Run
        Its position holds the current plan, its pace the measured times.
    scored : CPnet
        The network that is validated.
    validator : Validator
    typed : sequence of Entry
        Images that the cell-type head is fitted to in the end; see `choose_images`.
    is_trained : bool
        Whether the initial weights are trained ones.
    """

    def __init__(
        self,
        run: Run,
        scored: CPnet,
        validator: Validator,
        typed: Sequence[Entry],
        *,
        is_trained: bool,
    ) -> None:
        self._run, self._scored, self._validator = run, scored, validator
        self._typed, self._is_trained = typed, is_trained
        self._is_timed = False
        self._told_epochs = 0

    def is_validation_due(self, n_done: int, last: int) -> bool:
        """Tell whether to validate after `n_done` epochs, when the last time was after `last`.

        Notes
        -----
        The first validation is timed again before it: the estimate was made with the network of
        the first steps, which may not have found any cells yet.
        """
        run = self._run
        if not run.pace.is_validation_due(n_done, last, self._current):
            return False
        if run.pace.is_limited and not run.pace.has_validated and n_done < run.position.n_epochs:
            self._time_validation()
            self.plan(run.source.steps_per_epoch)
            return run.pace.is_validation_due(n_done, last, self._current)
        return True

    def plan(self, steps_done: int) -> None:
        """Plan the epochs and validations anew, after `steps_done` steps of the open epoch."""
        run, position = self._run, self._run.position
        if not self._is_timed:
            self._time_the_rest()
        current = self._current
        epochs_done = position.epoch + steps_done / run.source.steps_per_epoch
        plan = run.ranks.in_first(lambda: run.pace.plan(run.clock(), epochs_done, current))
        position.n_epochs, position.validate_every = plan.n_epochs, plan.validate_every
        if abs(plan.n_epochs - self._told_epochs) > NEWS * self._told_epochs:
            self._tell(plan)

    @property
    def _current(self) -> Plan:
        position = self._run.position
        return Plan(n_epochs=position.n_epochs, validate_every=position.validate_every)

    def _tell(self, plan: Plan) -> None:
        run = self._run
        is_first, self._told_epochs = not self._told_epochs, plan.n_epochs
        every = min(plan.n_epochs, plan.validate_every)
        run.say(
            f"plan: {counted(plan.n_epochs, 'epoch')} in {run.config.max_minutes:g} min "
            f"({run.pace.step_seconds:.2g} s a step), validated every "
            f"{'epoch' if every == 1 else f'{every} epochs'}"
        )
        n_steps = run.source.steps_per_epoch * plan.n_epochs
        if is_first and n_steps < FEWEST_STEPS and not self._is_trained:
            run.say(
                f"only {counted(n_steps, 'step')}: from random weights, hardly any cell is found "
                f"before about {FEWEST_STEPS}; give more time, a smaller "
                "training.crop_size or smaller network.channels_per_level"
            )

    def _time_the_rest(self) -> None:
        """Time what is not training: a validation, and the styles for the cell-type head."""
        self._time_validation()
        if self._typed:
            network, image = self._run.network, self._typed[0].load().image
            model = self._validator.model(cast(CPnet, network))
            model.style_of(image)  # the first one loads kernels
            before = time.monotonic()
            model.style_of(image)
            self._run.pace.closing_seconds = len(self._typed) * (time.monotonic() - before)
        self._run.network.train()
        self._is_timed = True

    def _time_validation(self) -> None:
        seconds = self._validator.estimate_seconds(self._scored)
        self._run.pace.validation_seconds = seconds
