"""The learning rate of every epoch, as one array made before the start."""

import numpy as np
from numpy.typing import NDArray

from cellflow.config import Schedule, TrainingConfig

EPOCHS_WITHOUT_ANNEALING = 100
"""Up to this length Cellpose's schedule never lowers the rate; ``auto`` then takes the cosine."""


def choose_schedule(config: TrainingConfig, n_epochs: int) -> Schedule:
    """Give the schedule that is followed: ``auto`` is Cellpose's where that one anneals.

    Notes
    -----
    Under a time budget ``auto`` is the cosine, whose rate does not jump when the length is
    planned anew on the way.
    """
    if config.schedule != "auto":
        return config.schedule
    anneals = n_epochs > EPOCHS_WITHOUT_ANNEALING and config.max_minutes is None
    return "cellpose" if anneals else "cosine"


def learning_rates(config: TrainingConfig, n_epochs: int) -> NDArray[np.float64]:
    """Give the learning rate of each epoch.

    Parameters
    ----------
    config : TrainingConfig
        Its learning_rate, warmup_epochs and schedule.
    n_epochs : int
        Length of the run, which a time budget may have made shorter than the config's.

    Returns
    -------
    (n_epochs,) float64
    """
    if choose_schedule(config, n_epochs) == "cosine":
        return _cosine(n_epochs, config.learning_rate, config.warmup_epochs)
    return _cellpose(n_epochs, config.learning_rate, config.warmup_epochs)


def _cellpose(n_epochs: int, peak: float, n_warmup: int) -> NDArray[np.float64]:
    """Linear warm-up from 0; then flat; then ten halvings over the last 50 or 100 epochs.

    With the ten warm-up epochs that are the default it equals ``cellpose/train.py`` 3.1, whose
    first epoch therefore runs at rate 0 and only settles the batch statistics.
    """
    rates = np.full(max(n_epochs, n_warmup), peak)
    rates[:n_warmup] = np.linspace(0, peak, n_warmup)
    rates = rates[:n_epochs]
    if n_epochs > EPOCHS_WITHOUT_ANNEALING:
        epochs_per_halving = 10 if n_epochs > 300 else 5
        n_annealed = 10 * epochs_per_halving
        rates[-n_annealed:] = peak / 2.0 ** (1 + np.arange(n_annealed) // epochs_per_halving)
    return rates


def _cosine(n_epochs: int, peak: float, n_warmup: int) -> NDArray[np.float64]:
    """Linear warm-up, at most a tenth of the run, then half a cosine wave down to a hundredth."""
    n_warmup = min(n_warmup, n_epochs // 10)
    warmup = peak * np.arange(1, n_warmup + 1) / (n_warmup + 1)
    progress = np.arange(n_epochs - n_warmup) / max(1, n_epochs - n_warmup - 1)
    falling = 0.01 + 0.99 * (1 + np.cos(np.pi * progress)) / 2
    return np.concatenate([warmup, peak * falling])
