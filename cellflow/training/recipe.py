"""A run's settings and its plan in words, for those who watch it and for the model card."""

from collections.abc import Mapping

from cellflow.config import Config, Rescaling
from cellflow.network.devices import DeviceChoice
from cellflow.network.precision import PrecisionChoice
from cellflow.network.preprocess import describe_channels
from cellflow.training.budget import Plan
from cellflow.training.initial import InitialWeights
from cellflow.training.levels import describe_levers
from cellflow.training.schedule import choose_rate, choose_schedule
from cellflow.wording import counted

RESIZED_BY: Mapping[Rescaling, str] = {
    "image": "each image by the diameter of its own cells",
    "cell_type": "images by the diameter of their cell type",
    "dataset": "all images by it as well",
}
"""How training resizes images, to follow the diameter of the cells."""

FEWEST_STEPS = 100
"""From random weights; a shorter plan is said to be too short to be of use (docs/log.md)."""


def describe_recipe(config: Config) -> str:
    """Give optimiser, learning rate, schedule, and everything that is switched on.

    Examples
    --------
    >>> from cellflow.config import AugmentConfig, TrainingConfig
    >>> training = TrainingConfig(n_epochs=500, ema_decay=0.999)
    >>> describe_recipe(Config(training=training, augment=AugmentConfig(level="none")))
    'adamw at 0.005, cellpose schedule, average of the weights with decay 0.999; augmentation: level none (nothing but the place of the crop)'
    """  # noqa: E501
    training = config.training
    schedule: str = choose_schedule(training, training.n_epochs)
    if schedule == "step":
        schedule = (
            f"x {training.step_gamma:g} every {training.step_every} from step {training.step_start}"
        )
    parts = [f"{training.optimizer} at {choose_rate(training):g}", f"{schedule} schedule"]
    if training.flow_weight != 1:
        parts.append(f"loss of flows times {training.flow_weight:g}")
    if not training.style:
        parts.append("no style")
    if training.gradient_clip is not None:
        parts.append(f"gradient clipped at norm {training.gradient_clip:g}")
    if training.ema_decay is not None:
        parts.append(f"average of the weights with decay {training.ema_decay:g}")
    if training.patience is not None:
        n_worse = counted(training.patience, "validation")
        parts.append(f"stops after {n_worse} without a better score")
    return f"{', '.join(parts)}; augmentation: {describe_levers(config.augment)}"


def describe_start(
    weights: InitialWeights,
    config: Config,
    *,
    n_steps: int,
    device: DeviceChoice,
    precision: PrecisionChoice,
    n_processes: int,
) -> list[str]:
    """Say, a sentence each, what a run starts from, where it computes, and how long it is.

    Parameters
    ----------
    weights : InitialWeights
    config : Config
        Settled.
    n_steps : int
        Steps of an epoch.
    device : DeviceChoice
    precision : PrecisionChoice
    n_processes : int
        That train together.
    """
    training = config.training
    named = f"initial weights {weights.name}: {weights.terms}"
    # For weights of a model folder `InitialWeights.describe_pictures` has said more.
    is_told = weights.seen is not None or not any(config.data.channels)
    channels = [] if is_told else [f"pictures: {describe_channels(config.data)}"]
    several = f"{n_processes} processes, the first on " if n_processes > 1 else ""
    length = f"{counted(training.n_epochs, 'epoch')} of {counted(n_steps, 'step')}"
    if training.max_minutes is not None:
        length = f"at most {training.max_minutes:g} min, planned after the first steps"
    return [
        named if weights.terms else f"initial weights: {weights.name}",
        f"device: {several}{device}; precision: {precision}",
        f"{length}, {counted(training.batch_size, 'crop')} of {training.crop_size} px a step, "
        f"{describe_recipe(config)}",
        *channels,
    ]


def describe_plan(plan: Plan, max_minutes: float, step_seconds: float) -> str:
    """Say how many epochs are planned within a time budget."""
    every = min(plan.n_epochs, plan.validate_every)
    return (
        f"plan: {counted(plan.n_epochs, 'epoch')} in {max_minutes:g} min "
        f"({step_seconds:.2g} s a step), validated every "
        f"{'epoch' if every == 1 else f'{every} epochs'}"
    )


def doubt_of_length(n_steps: int, *, is_trained: bool) -> list[str]:
    """Say so if a planned run is too short, given whether its initial weights are trained ones."""
    if is_trained or n_steps >= FEWEST_STEPS:
        return []
    return [
        f"only {counted(n_steps, 'step')}: from random weights, hardly any cell is found "
        f"before about {FEWEST_STEPS}; give more time, a smaller "
        "training.crop_size or smaller network.channels_per_level"
    ]
