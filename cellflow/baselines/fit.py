"""The training loop of the baselines.

An iteration depends only on its number: so do its examples and the random choices of torchvision,
which uses torch's global generator; it is seeded for the iteration and restored afterwards. So an
interrupted run ends with the same weights as an uninterrupted one.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cellflow.baselines.examples import Example, ExampleSource
from cellflow.baselines.learner import Learner
from cellflow.baselines.settings import BaselineConfig
from cellflow.errors import ModelError, TrainingDiverged
from cellflow.network.devices import is_out_of_memory, synchronize
from cellflow.network.precision import autocast
from cellflow.telling import Report, Say
from cellflow.training.batches import load_ahead, loader_threads
from cellflow.training.budget import Pace, Plan
from cellflow.training.interruption import InterruptFlag
from cellflow.training.schedule import learning_rates
from cellflow.wording import counted

SECONDS_BETWEEN_READS = 1.0
"""Seconds between two reads of the loss from a GPU, which must wait for each."""


@dataclass(kw_only=True)
class FitPosition:
    """How far a run has come.

    Parameters
    ----------
    n_iterations, validate_every : int
        Planned length, and iterations between validations; a time budget may change both.
    iteration : int
        The next one, from 0.
    closed : int
        Iterations done at the end of the last interval that was validated and recorded.
    loss_sum : float
        Over the iterations since `closed`.
    seconds : float
        Spent so far, over all sittings.
    best_score : float
        Best validation so far; -1 before the first.
    best_iteration : int
        Iterations done at that validation.
    """

    n_iterations: int
    validate_every: int
    iteration: int = 0
    closed: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_score: float = -1.0
    best_iteration: int = 0

    @property
    def plan(self) -> Plan:
        """The current plan, in which an iteration is an epoch of one step."""
        return Plan(n_epochs=self.n_iterations, validate_every=self.validate_every)

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self.n_iterations, self.validate_every = plan.n_epochs, plan.validate_every


@dataclass(kw_only=True, eq=False)
class Fit:
    """Everything that one training works on.

    Parameters
    ----------
    learner : Learner
        Its network is on `device`.
    optimizer : torch.optim.Optimizer
    source : ExampleSource
    config : BaselineConfig
    device : torch.device
    dtype : torch.dtype
        Of the convolutions.
    report : callable
        ``report(step, numbers)``, after every iteration.
    interrupt : InterruptFlag
        Asked after every iteration.
    pace : Pace
        Says when the time is over; it counts an iteration as an epoch of one step.
    position : FitPosition
        Where to begin; advanced by `fit`.
    clock : callable
        Seconds since the run began, over all sittings.
    say : callable
        ``say(text)``, when the user should know something.
    """

    learner: Learner
    optimizer: torch.optim.Optimizer
    source: ExampleSource
    config: BaselineConfig
    device: torch.device
    dtype: torch.dtype
    report: Report
    interrupt: InterruptFlag
    pace: Pace
    position: FitPosition
    clock: Callable[[], float]
    say: Say
    shown: dict[str, float] = field(default_factory=dict, init=False)
    last_read: float = field(default=-math.inf, init=False)
    losses: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.continue_from(self.position)

    def continue_from(self, position: FitPosition) -> None:
        """Take over the position of a checkpoint."""
        self.position = position
        self.losses = torch.tensor(position.loss_sum, device=self.device)

    def settle(self) -> FitPosition:
        """Give the position with the loss read from the device."""
        self.position.loss_sum = float(self.losses)
        return self.position


def fit(run: Fit, *, after_iteration: Callable[[], None], end_interval: Callable[[], None]) -> None:
    """Train from ``run.position`` to the end of the plan or of the time budget.

    Parameters
    ----------
    run : Fit
    after_iteration : callable
        Called after every iteration except the last of an interval: saves now and then, plans the
        length.
    end_interval : callable
        Called every ``training.validate_every`` iterations and after the last: validates, writes
        the history, advances ``run.position.closed``, resets ``run.losses`` to 0, saves.

    Raises
    ------
    StepFinished
        Ctrl-C; ``run.position`` is where to continue.
    ModelError
        The loss became infinite or NaN, or there is not enough memory.
    DataError
        An image cannot be read.
    """
    position = run.position
    threads = loader_threads(run.device)
    with closing(load_ahead(run.source.batch, position.iteration, threads)) as batches:
        while True:
            if _is_interval_over(run):
                _finite(run, run.settle().loss_sum)
                end_interval()
            if position.iteration >= position.n_iterations:
                break
            run.learner.network.train()
            rate, before = _set_rate(run), run.clock()
            parts = _iterate(run, next(batches))
            run.losses += torch.stack([part.detach().float() for part in parts.values()]).sum()
            position.iteration += 1
            if run.pace.is_timing:
                synchronize(run.device)
            position.seconds = run.clock()
            run.pace.add_step(position.seconds - before)
            _report(run, parts, rate)
            run.interrupt.check()
            if run.pace.is_limited and run.pace.is_over(position.seconds):
                position.n_iterations = position.iteration
                run.say(run.pace.describe_end(counted(position.iteration, "iteration")))
            if not _is_interval_over(run):
                after_iteration()


def _is_interval_over(run: Fit) -> bool:
    """Whether the current interval has ended and must still be validated."""
    position, training = run.position, run.config.training
    done = position.iteration
    is_end = done == position.n_iterations or done % training.validate_every == 0
    return is_end and done > position.closed


def _iterate(run: Fit, examples: list[Example]) -> Mapping[str, torch.Tensor]:
    """Do one optimiser step; give the parts of its loss."""
    try:
        return _step(run, examples)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        cause = str(error)
    training = run.config.training
    raise ModelError(
        f"{run.device}: not enough memory for {counted(training.batch_size, 'crop')} of "
        f"{training.crop_height}x{training.crop_width} px; lower training.batch_size, "
        f"training.crop_height and crop_width, or detector.rois ({cause[:80]})"
    )


def _step(run: Fit, examples: list[Example]) -> Mapping[str, torch.Tensor]:
    with _seeded(run):
        with autocast(run.device, run.dtype):
            parts = run.learner.losses(examples, run.device)
        run.optimizer.zero_grad(set_to_none=True)
        torch.stack([part.float() for part in parts.values()]).sum().backward()  # type: ignore[no-untyped-call]
    clip = run.config.training.gradient_clip
    if clip is not None:
        torch.nn.utils.clip_grad_norm_(run.learner.network.parameters(), clip)
    run.optimizer.step()
    return parts


@contextmanager
def _seeded(run: Fit) -> Iterator[None]:
    """Seed the global generators by the iteration alone, and restore them afterwards."""
    words = np.random.SeedSequence((run.config.training.seed, run.position.iteration))
    devices: list[Any] = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(words.generate_state(1, np.uint64)[0]) >> 1)
        yield


def _set_rate(run: Fit) -> float:
    training = run.config.training
    step = np.array([run.position.iteration])
    n_iterations = run.position.n_iterations
    rates = learning_rates(training.as_training_config(), n_iterations, 1, step)
    for group in run.optimizer.param_groups:
        group["lr"] = float(rates[0])
    return float(rates[0])


def _report(run: Fit, parts: Mapping[str, torch.Tensor], rate: float) -> None:
    """Report the iteration; the loss is read from a GPU only about once a second."""
    now, iteration = run.position.seconds, run.position.iteration
    if run.device.type == "cpu" or now - run.last_read >= SECONDS_BETWEEN_READS:
        run.last_read = now
        values = {name.removeprefix("loss_"): float(part.detach()) for name, part in parts.items()}
        run.shown = {"loss": _finite(run, sum(values.values())), **values}
    numbers = {**run.shown, "lr": rate}
    if run.pace.is_planned:
        numbers["total"] = run.position.n_iterations
    if run.position.best_iteration:
        numbers["best mAP"] = run.position.best_score
    run.report(iteration, numbers)


def _finite(run: Fit, loss: float) -> float:
    if not math.isfinite(loss):
        raise TrainingDiverged(
            f"iteration {run.position.iteration}: the loss is no longer finite; lower "
            f"training.learning_rate (now {run.config.training.learning_rate:g}) or set "
            "training.gradient_clip, and start again"
        )
    return loss
