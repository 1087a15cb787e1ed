"""A run's settings in words, for the start of the run and for the model card."""

from cellflow.config import TrainingConfig
from cellflow.training.schedule import choose_schedule


def describe_recipe(config: TrainingConfig) -> str:
    """Give optimiser, rate, schedule, and every lever that is switched on.

    Examples
    --------
    >>> describe_recipe(TrainingConfig(n_epochs=500, ema_decay=0.999))
    'adamw at 0.005, cellpose schedule, average of the weights with decay 0.999'
    """
    schedule: str = choose_schedule(config, config.n_epochs)
    if schedule == "step":
        schedule = f"x {config.step_gamma:g} each {config.step_every} from step {config.step_start}"
    parts = [f"{config.optimizer} at {config.learning_rate:g}", f"{schedule} schedule"]
    if config.gradient_clip is not None:
        parts.append(f"gradient clipped at norm {config.gradient_clip:g}")
    if config.ema_decay is not None:
        parts.append(f"average of the weights with decay {config.ema_decay:g}")
    if config.patience is not None:
        parts.append(f"stops after {config.patience} validations without a better score")
    return ", ".join(parts)


def role_of_held_out(config: TrainingConfig) -> str:
    """Say what the held-out images decided, behind the score on them.

    Notes
    -----
    See docs/decisions/0501-weights-of-the-last-epoch.md.
    """
    if config.keep == "best":
        return "too high: the weights were selected on these images"
    if config.patience is not None:
        return "too high: these images decided when training ended"
    return "not used for any choice"
