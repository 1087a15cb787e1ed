"""A run's settings in words, for the start of the run and for the model card."""

from cellflow.config import Config, DataConfig, TrainingConfig
from cellflow.network.devices import DeviceChoice
from cellflow.network.precision import PrecisionChoice
from cellflow.training.initial import InitialWeights
from cellflow.training.levels import describe_levers
from cellflow.training.schedule import choose_rate, choose_schedule
from cellflow.wording import counted

COLOURS = ("red", "green", "blue")
"""Of the channels 1 to 3, as Cellpose names them."""


def describe_recipe(config: Config) -> str:
    """Give optimiser, learning rate, schedule, and everything that is switched on.

    Examples
    --------
    >>> from cellflow.config import AugmentConfig
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
    several = f"{n_processes} processes, the first on " if n_processes > 1 else ""
    length = f"{counted(training.n_epochs, 'epoch')} of {counted(n_steps, 'step')}"
    if training.max_minutes is not None:
        length = f"at most {training.max_minutes:g} min, planned after the first steps"
    return [
        named if weights.terms else f"initial weights: {weights.name}",
        f"device: {several}{device}; precision: {precision}",
        f"{length}, {counted(training.batch_size, 'crop')} of {training.crop_size} px a step, "
        f"{describe_recipe(config)}",
        *([f"channels: {describe_channels(config.data)}"] if any(config.data.channels) else []),
    ]


def describe_channels(config: DataConfig) -> str:
    """Say which channels of a picture the network sees.

    Examples
    --------
    >>> describe_channels(DataConfig()), describe_channels(DataConfig(channels=(2, 3)))
    ('the mean of all', '2 (green) for cells, 3 (blue) for nuclei')
    """
    first, second = config.channels
    if first == 0:
        return "the mean of all"
    cells = f"{first} ({COLOURS[first - 1]}) for cells"
    return f"{cells}, {second} ({COLOURS[second - 1]}) for nuclei" if second else cells


def role_of_held_out(config: TrainingConfig) -> str:
    """Say what the held-out images were used for, to be put after the score on them.

    Notes
    -----
    See docs/decisions/0501-weights-of-the-last-epoch.md.
    """
    if config.keep == "best":
        return "too high: the weights were selected on these images"
    if config.patience is not None:
        return "too high: these images decided when training ended"
    return "not used for any choice"
