"""The training loop, to be read from top to bottom.

`train` goes over epochs and steps; `training_step` is one step. What happens at the end of an epoch
(validation, files, a new plan) is the caller's, see `fine_tune`.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from cellflow.config import TrainingConfig
from cellflow.errors import CellflowError, ModelError, TrainingDiverged
from cellflow.network.devices import (
    image_layout,
    is_out_of_memory,
    may_send_ahead,
    synchronize,
)
from cellflow.network.precision import autocast
from cellflow.telling import Report, Say, ignore
from cellflow.training.batches import Batch, CropSource, loader_threads, stream_batches
from cellflow.training.budget import Pace
from cellflow.training.checkpoint import Position
from cellflow.training.interruption import InterruptFlag
from cellflow.training.losses import flow_and_cell_loss
from cellflow.training.optimizer import AveragedWeights, make_scaler
from cellflow.training.ranks import Ranks
from cellflow.training.schedule import choose_rate, learning_rates
from cellflow.training.throughput import Throughput
from cellflow.wording import counted, first_line


@dataclass(kw_only=True, eq=False)
class Run:
    """Everything that one training run works on.

    Parameters
    ----------
    network : torch.nn.Module
        On `device`; gives (output, style, …).
    optimizer : torch.optim.Optimizer
        Of the network's parameters.
    source : CropSource
    config : TrainingConfig
    position : Position
        Where to begin; moved on by `train`.
    pace : Pace
        Says when the time is over.
    device : torch.device
    dtype : torch.dtype
        float32, or float16 or bfloat16 for the convolutions.
    average : AveragedWeights, optional
        Follows the network's weights, when ``config.ema_decay`` asks for it.
    report : callable
        ``report(step, numbers)``, after every step.
    say : callable
        ``say(text)``, when the user should know something.
    interrupt : InterruptFlag
        Asked after every step.
    clock : callable
        Seconds since the run began, over all sittings.
    ranks : Ranks
        This process among those that train together.
    """

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    source: CropSource
    config: TrainingConfig
    position: Position
    pace: Pace
    device: torch.device
    dtype: torch.dtype = torch.float32
    average: AveragedWeights | None = None
    report: Report = ignore
    say: Say = ignore
    interrupt: InterruptFlag = field(default_factory=InterruptFlag)
    clock: Callable[[], float] = time.monotonic
    ranks: Ranks = field(default_factory=Ranks)
    throughput: Throughput = field(default_factory=Throughput, init=False)
    wrapped: Callable[[torch.Tensor], Any] | None = field(default=None, init=False)
    scaler: torch.amp.GradScaler = field(init=False)
    losses: torch.Tensor = field(init=False)
    shown_loss: float = field(default=0.0, init=False)
    last_read: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.ranks.size > 1:
            self.wrapped = self.ranks.spread(self.network)
        if self.config.compile:
            self.wrapped = _compiled(self.network if self.wrapped is None else self.wrapped)
        self.scaler = make_scaler(self.device, self.dtype)
        self.continue_from(self.position)

    def continue_from(self, position: Position) -> None:
        """Take over the position of a checkpoint."""
        self.position = position
        self.losses = torch.tensor([position.flow_loss, position.cell_loss], device=self.device)

    def settle(self) -> Position:
        """Give the position with the losses read from the device."""
        self.position.flow_loss, self.position.cell_loss = self.losses.tolist()
        return self.position


def _compiled(network: Callable[[torch.Tensor], Any]) -> Callable[[torch.Tensor], Any]:
    """Compile a network; it fails only at the first call, which is when PyTorch compiles."""
    from torch._dynamo.exc import TorchDynamoException

    compiled = torch.compile(network)

    def forward(image: torch.Tensor) -> Any:
        try:
            return compiled(image)
        except TorchDynamoException as error:
            if is_out_of_memory(error):
                raise
            reason = first_line(getattr(error, "inner_exception", error))
            raise ModelError(f"training.compile does not work here: {reason}") from error

    return forward


def train(run: Run, *, after_step: Callable[[], None], end_epoch: Callable[[float], None]) -> None:
    """Train from ``run.position`` to the end of the plan, or of the time.

    Parameters
    ----------
    run : Run
    after_step : callable
        Called after every step: saves now and then, plans the length.
    end_epoch : callable
        Called as ``end_epoch(learning_rate)``, with the rate of the last step, after the steps of
        an epoch: validates, writes the history. Only afterwards ``position.epoch`` counts the epoch
        as done.

    Raises
    ------
    StepFinished
        Ctrl-C came; ``run.position`` is where to continue.
    ModelError
        The loss became infinite or not a number, or memory runs out for a single crop.
    DataError
        An image cannot be read.

    Notes
    -----
    Losses are summed on the device and read about once a second, so that a GPU hardly waits.
    """
    position, n_steps = run.position, run.source.steps_per_epoch
    with closing(_batches(run)) as batches:
        while position.epoch < position.n_epochs:
            run.network.train()
            run.throughput = Throughput()
            while position.step < n_steps:
                rate = _set_rate(run)
                # Not around the validation, whose images may all have shapes of their own.
                with _tuned_convolutions(run.device):
                    _timed_step(run, batches)
                _report(run, rate)
                run.interrupt.check()
                if run.pace.is_limited and run.ranks.any(run.pace.is_over(position.seconds)):
                    position.n_epochs = position.epoch + 1
                    steps = counted(position.epoch * n_steps + position.step, "step")
                    run.say(run.pace.describe_end(steps))
                    break
                after_step()
            _close_epoch(run)
            end_epoch(run.optimizer.param_groups[0]["lr"])
            position.epoch, position.step = position.epoch + 1, 0
            position.seconds = run.clock()
            run.losses.zero_()


def training_step(run: Run, batch: Batch) -> torch.Tensor:
    """Do one optimiser step; when memory runs out, send the batch through in more, smaller parts.

    Returns
    -------
    (2,) float32 tensor on the device
        The flow loss and the cell-probability loss.

    Raises
    ------
    ModelError
        Memory runs out even for a single crop.
    """
    while True:
        try:
            return _step_in_parts(run, batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            cause = first_line(error)
        # Outside the except block, whose traceback would keep the tensors alive.
        _halve_parts(run, len(batch.image), cause)


def _step_in_parts(run: Run, batch: Batch) -> torch.Tensor:
    """Accumulate the gradient over the parts of a batch, then step."""
    run.optimizer.zero_grad(set_to_none=True)
    losses = torch.zeros(2, device=run.device)
    n_parts = min(run.position.n_parts, len(batch.image))
    for part in zip(*(tensor.tensor_split(n_parts) for tensor in batch), strict=True):
        image, *target = (
            tensor.to(run.device, non_blocking=may_send_ahead(run.device)) for tensor in part
        )
        with autocast(run.device, run.dtype):
            network = run.network if run.wrapped is None else run.wrapped
            output = network(image.contiguous(memory_format=image_layout(run.device)))[0]
        flow_loss, cell_loss = flow_and_cell_loss(output, *target)
        part_losses = torch.stack([flow_loss, cell_loss])
        share = len(image) / len(batch.image)
        loss = share * (run.config.flow_weight * flow_loss + cell_loss)
        run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses += share * part_losses.detach()
    if run.config.gradient_clip is not None:
        run.scaler.unscale_(run.optimizer)
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), run.config.gradient_clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None:
        run.average.update_parameters(run.network)
    return run.ranks.average(losses)


def _set_rate(run: Run) -> float:
    """Bring the learning rate of the step that comes next into the optimiser."""
    position, n_steps = run.position, run.source.steps_per_epoch
    step = np.array([position.epoch * n_steps + position.step])
    rate = float(learning_rates(run.config, position.n_epochs, n_steps, step)[0])
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    return rate


def _timed_step(run: Run, batches: Iterator[Batch]) -> None:
    before = run.clock()
    batch = _next_batch(run, batches)
    loaded = run.clock()
    run.losses += training_step(run, batch)
    run.position.step += 1
    if run.pace.is_timing:
        synchronize(run.device)
    _read_loss(run, before)
    run.position.seconds = done = run.clock()
    run.throughput.add_step(run.ranks.size * len(batch.image), done - before, loaded - before)
    if run.pace.is_limited:
        run.pace.add_step(done - before)


def _read_loss(run: Run, now: float) -> None:
    """Read the loss, from a GPU only about once a second, since that waits for it.

    Notes
    -----
    The wait is timed with the step: steps are sent to a GPU faster than it computes them, so the
    wait is part of how long they take.
    """
    if run.device.type == "cpu" or now - run.last_read > 1 or run.position.step == 1:
        run.last_read = now
        run.shown_loss = float(run.losses.sum()) / run.position.step


def _batches(run: Run) -> Generator[Batch, None, None]:
    first = run.position.epoch * run.source.steps_per_epoch + run.position.step
    pin_for = run.device if _is_cuda(run.device) else None
    threads = loader_threads(run.device)
    return stream_batches(run.source, first, pin_for=pin_for, n_threads=threads)


@contextmanager
def _tuned_convolutions(device: torch.device) -> Iterator[None]:
    """On CUDA let cuDNN try which algorithm is fastest for the crops, which all have one shape.

    Notes
    -----
    Not by `torch.backends.cudnn.flags`, which would also reset whether algorithms may round to TF32
    or must be deterministic.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or _is_cuda(device)
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _next_batch(run: Run, batches: Iterator[Batch]) -> Batch:
    try:
        return next(batches)
    except CellflowError:
        # Ctrl-C reaches the loader processes too, and ends those that have only just begun.
        run.interrupt.check()
        raise


def _report(run: Run, rate: float) -> None:
    position, n_steps = run.position, run.source.steps_per_epoch
    numbers = {
        "epoch": position.epoch + 1,
        "loss": run.shown_loss,
        "lr": rate,
        "images/s": run.throughput.images_per_second,
        "waiting": run.throughput.waiting_share,
    }
    if run.pace.is_planned:
        # Until then the total is unknown: the epochs asked for may not fit into the time.
        numbers["total"] = position.n_epochs * n_steps
    if position.best_epoch:
        numbers["best mAP"] = position.best_score
    run.report(position.epoch * n_steps + position.step, numbers)


def _close_epoch(run: Run) -> None:
    """Wait for the device, and check that the loss is finite."""
    before = run.clock()
    position = run.settle()
    run.throughput.seconds += run.clock() - before
    if not math.isfinite(position.flow_loss + position.cell_loss):
        or_wider = " or train in float32" if run.scaler.is_enabled() else ""
        raise TrainingDiverged(
            f"epoch {position.epoch + 1}: the loss is no longer finite; lower the learning rate "
            f"(now {choose_rate(run.config):g}){or_wider} and start again"
        )
    if run.scaler.is_enabled() and run.scaler.get_scale() < 1:
        raise TrainingDiverged(
            f"epoch {position.epoch + 1}: no step is taken, since gradients exceed float16 at any "
            "scale of the loss; train in float32 and start again"
        )


def _halve_parts(run: Run, batch_size: int, cause: str) -> None:
    if run.ranks.size > 1:
        # The other processes already wait for this one's gradients, which would never come.
        raise ModelError(
            f"{run.device}: not enough memory for {counted(batch_size, 'crop')} of "
            f"{run.config.crop_size} px; "
            f"start more processes, or lower training.batch_size or training.crop_size ({cause})"
        )
    if run.position.n_parts >= batch_size:
        raise ModelError(
            f"{run.device}: not enough memory for one crop of {run.config.crop_size} px; "
            f"lower training.crop_size, or use --device cpu ({cause})"
        )
    run.position.n_parts = min(2 * run.position.n_parts, batch_size)
    # The old one may stand in the middle of a step, and have lent its scale to the optimiser.
    scale, run.scaler = run.scaler.state_dict(), make_scaler(run.device, run.dtype)
    run.scaler.load_state_dict(scale)
    for name in ("grad_scale", "found_inf"):
        vars(run.optimizer).pop(name, None)
    if _is_cuda(run.device):
        torch.cuda.empty_cache()
    at_once = -(-batch_size // run.position.n_parts)
    run.say(
        f"out of memory: each batch of {batch_size} now goes through the network "
        f"{at_once} at a time"
    )


def _is_cuda(device: torch.device) -> bool:
    return device.type == "cuda"
