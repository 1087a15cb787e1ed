"""The learning rate of every optimiser step, as a function of the step's number alone."""

import numpy as np
from numpy.typing import NDArray

from cellflow.config import Schedule, TrainingConfig

EPOCHS_WITHOUT_ANNEALING = 100
"""Up to this length Cellpose's schedule never lowers the rate, so ``auto`` takes the cosine."""

RISE, FIRST_DIVISOR, LAST_DIVISOR = 0.3, 25.0, 1e4
"""One-cycle: share of the run in which the rate rises, peak over first rate, first over last rate;
the defaults of ``torch.optim.lr_scheduler.OneCycleLR``."""


SCRATCH_RATE, TRAINED_RATE = 0.005, 0.001
"""Peak rate if none is given: for random weights, Cellpose's for AdamW, and for trained ones."""


def choose_schedule(config: TrainingConfig, n_epochs: int) -> Schedule:
    """Give the schedule to follow: ``auto`` is Cellpose's if that one lowers the rate at the end.

    Notes
    -----
    Under a time budget ``auto`` is the cosine, whose rate does not jump when the planned length
    changes on the way.
    """
    if config.schedule != "auto":
        return config.schedule
    anneals = n_epochs > EPOCHS_WITHOUT_ANNEALING and config.max_minutes is None
    return "cellpose" if anneals else "cosine"


def choose_rate(config: TrainingConfig, *, is_trained: bool = False) -> float:
    """Give the peak learning rate: as configured, else by the initial weights.

    Parameters
    ----------
    config : TrainingConfig
        That of a run always says it.
    is_trained : bool
        Whether the initial weights are trained ones.
    """
    if config.learning_rate is not None:
        return config.learning_rate
    return TRAINED_RATE if is_trained else SCRATCH_RATE


def learning_rates(
    config: TrainingConfig, n_epochs: int, n_steps: int, steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Give the learning rate of some steps of a run.

    Parameters
    ----------
    config : TrainingConfig
        `choose_rate` of it is the peak; its schedule and warmup_epochs shape the rest.
    n_epochs : int
        Length of the run, which a time budget may have made shorter than the config's.
    n_steps : int
        Optimiser steps of an epoch.
    steps : (K,) int64
        Counted from 0 over the whole run, below ``n_epochs * n_steps``.

    Returns
    -------
    (K,) float64

    Notes
    -----
    Cellpose's schedule keeps its rate through an epoch; the others change it at each step. A run of
    a single epoch rises over steps whatever the schedule: Cellpose's would stay at 0 throughout.
    """
    schedule, n_all = choose_schedule(config, n_epochs), n_epochs * n_steps
    n_warmup = min(config.warmup_epochs * n_steps, n_all // 10)
    factors: NDArray[np.float64]
    if schedule == "cellpose" and n_epochs == 1:
        factors = _rise(steps, n_warmup)
    elif schedule == "cellpose":
        factors = _cellpose(n_epochs, config.warmup_epochs)[steps // n_steps]
    elif schedule == "one_cycle":
        factors = _one_cycle(steps, n_all)
    elif schedule == "step":
        n_falls = np.maximum(0, (steps - config.step_start) // config.step_every + 1)
        factors = config.step_gamma**n_falls * _rise(steps, n_warmup)
    else:
        factors = _cosine(steps, n_all, n_warmup) * _rise(steps, n_warmup)
    return choose_rate(config) * factors


def _rise(steps: NDArray[np.int64], n_warmup: int) -> NDArray[np.float64]:
    """Linear warm-up over `n_warmup` steps to 1; the first step is above 0."""
    return np.minimum(1.0, (steps + 1) / (n_warmup + 1))


def _cellpose(n_epochs: int, n_warmup: int) -> NDArray[np.float64]:
    """Linear warm-up from 0; then flat; then ten halvings over the last 50 or 100 epochs.

    With the ten warm-up epochs that are the default it equals ``cellpose/train.py`` 3.1, whose
    first epoch therefore runs at rate 0 and only settles the batch statistics.
    """
    rates = np.ones(max(n_epochs, n_warmup))
    rates[:n_warmup] = np.linspace(0, 1, n_warmup)
    rates = rates[:n_epochs]
    if n_epochs > EPOCHS_WITHOUT_ANNEALING:
        epochs_per_halving = 10 if n_epochs > 300 else 5
        n_annealed = 10 * epochs_per_halving
        rates[-n_annealed:] = 2.0 ** -(1 + np.arange(n_annealed) // epochs_per_halving)
    return rates


def _cosine(steps: NDArray[np.int64], n_all: int, n_warmup: int) -> NDArray[np.float64]:
    """Half a cosine wave from 1 down to a hundredth, behind the warm-up."""
    progress = np.maximum(0, steps - n_warmup) / max(1, n_all - n_warmup - 1)
    wave: NDArray[np.float64] = (1 + np.cos(np.pi * progress)) / 2
    return 0.01 + 0.99 * wave


def _one_cycle(steps: NDArray[np.int64], n_all: int) -> NDArray[np.float64]:
    """Half a cosine wave up to 1 and another one down to almost nothing.

    Notes
    -----
    The momentum is left alone: PyTorch's own scheduler would swing it the other way.
    """
    top, last = max(0.0, RISE * n_all - 1), n_all - 1
    first = 1 / FIRST_DIVISOR
    up = (1 - np.cos(np.pi * np.minimum(1.0, steps / max(top, 1e-9)))) / 2
    down = (1 + np.cos(np.pi * np.maximum(0, steps - top) / max(1e-9, last - top))) / 2
    rising = first + (1 - first) * up
    falling = first / LAST_DIVISOR + (1 - first / LAST_DIVISOR) * down
    return np.where((steps <= top) & (top > 0), rising, falling)
