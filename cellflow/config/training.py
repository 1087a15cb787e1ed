"""Settings of a training."""

from dataclasses import dataclass
from typing import Literal

from cellflow.config.checks import require, require_choice, require_finite
from cellflow.config.precision import Precision

Optimizer = Literal["sgd", "adam", "adamw", "radam"]
Schedule = Literal["auto", "cellpose", "cosine", "step", "one_cycle"]
Rescaling = Literal["image", "cell_type", "dataset"]
Keep = Literal["last", "best"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The training recipe; defaults without another reason are those of Cellpose 3.1."""

    n_epochs: int = 200
    """Passes over the training images; by then fine-tuning no longer improves."""
    max_minutes: float | None = None
    """Wall-clock budget; the first steps are timed, and fewer epochs planned if necessary."""
    batch_size: int = 8
    learning_rate: float | None = None
    """Peak of the schedule. None = 0.005 from random weights, as in Cellpose's API for AdamW; 0.001
    from trained weights (docs/decisions/0510-the-rate-of-trained-weights.md)."""
    optimizer: Optimizer = "adamw"
    weight_decay: float = 1e-5
    """As in PyTorch: adamw subtracts it from the weights (decoupled); sgd, adam and radam add it to
    the gradient."""
    momentum: float = 0.9
    """For sgd only."""
    schedule: Schedule = "auto"
    """cellpose = Cellpose's, which anneals only in runs of more than 100 epochs; auto = cellpose in
    such runs if they have no max_minutes, else cosine; step = multiply by step_gamma every
    step_every steps, from step_start on; one_cycle = PyTorch's."""
    warmup_epochs: int = 10
    """Epochs in which the rate rises; at most a tenth of the run, except in Cellpose's schedule.
    one_cycle ignores it and rises during the first 30 % of the run."""
    step_start: int = 2000
    """Optimiser steps before the first drop of schedule step; the seed report's iterations."""
    step_every: int = 1000
    """Optimiser steps between two drops."""
    step_gamma: float = 0.8
    """Factor of each drop."""
    gradient_clip: float | None = None
    """Largest norm of the whole gradient; a larger gradient is scaled down. None = no clipping."""
    ema_decay: float | None = None
    """Decay of an exponential moving average of the weights, such as 0.999 per step; the average is
    then validated and kept. None = no average."""
    flow_weight: float = 1.0
    """Weight of the flow loss relative to that of the cell probability; 1 as in Cellpose."""
    style: bool = True
    """Whether the decoder uses the style vector. false = its weights are fixed at 0, so that every
    program that opens the model finds the same cells."""
    crop_size: int = 224
    """Side of the random square crops, pixels; a multiple of 16."""
    images_per_epoch: int | None = None
    """Crops per epoch; None = one of every training image."""
    rescaling: Rescaling = "image"
    """How images are rescaled to diam_mean: image = each by its own diameter (Cellpose); cell_type
    = by the diameter of its cell type (prediction uses one diameter for all types, unless theirs
    are put into thresholds.json); dataset = all by one diameter."""
    min_cells: int = 5
    """Images with fewer cells are left out of training; min_train_masks in Cellpose."""
    validation_share: float = 0.2
    """Share of the images that are held out if no folds file is given; 0 = none."""
    validate_every: int = 10
    """Epochs between two validations by the competition score."""
    precision: Precision = "float32"
    """Training in 16 bits stays opt-in until it is shown to reach the same score. auto = bfloat16
    where the device computes it natively, float16 on older GPUs with tensor cores (V100, T4); in
    float16 the loss is scaled so that small gradients survive."""
    compile: bool = False
    """Whether to use torch.compile; pays off on CUDA only, takes a minute or two, and needs a C
    compiler on Linux."""
    n_workers: int = 0
    """Loader processes; 0 = threads of this process: one on a CPU, up to 8 beside a GPU."""
    cache_megabytes: int = 1024
    """Memory for prepared images (9 bytes per grey pixel, 13 with mosaics), over all loaders; the
    others are prepared again each time they are needed."""
    store_prepared: bool = False
    """Whether to store all prepared images in the folder $CELLFLOW_CACHE/prepared too, for this run
    and later ones; pays off beside a GPU, for data that do not fit into cache_megabytes."""
    keep: Keep = "last"
    """Weights to keep: last = those of the last epoch, so that the score on the held-out fold is
    unbiased; best = those of the best validation, which are selected on that very fold."""
    patience: int | None = None
    """Early stopping after so many validations in a row without a better score. The held-out fold
    then decides the length, and the model card says so. None = no early stopping."""
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite("training", self)
        positive = ("n_epochs", "batch_size", "validate_every", "step_every")
        for name in (*positive, "flow_weight"):
            value = getattr(self, name)
            require(value > 0, f"training.{name}: expected > 0, found {value}")
        limits = ("max_minutes", "images_per_epoch", "gradient_clip", "patience")
        for name in ("learning_rate", *limits):
            value = getattr(self, name)
            require(value is None or value > 0, f"training.{name}: expected > 0, found {value}")
        for name in (
            "weight_decay",
            "warmup_epochs",
            "step_start",
            "n_workers",
            "min_cells",
            "cache_megabytes",
            "seed",
        ):
            value = getattr(self, name)
            require(value >= 0, f"training.{name}: expected >= 0, found {value}")
        require(
            self.crop_size >= 32 and self.crop_size % 16 == 0,
            f"training.crop_size: expected a multiple of 16, 32 or more, found {self.crop_size}",
        )
        require(0 <= self.validation_share < 1, "training.validation_share: expected 0 to 1")
        require(0 <= self.momentum < 1, "training.momentum: expected 0 to 1")
        require(0 < self.step_gamma <= 1, "training.step_gamma: expected above 0, at most 1")
        require(
            self.ema_decay is None or 0 < self.ema_decay < 1,
            f"training.ema_decay: expected between 0 and 1, found {self.ema_decay}",
        )
        require(self.seed < 2**63, f"training.seed: expected < 2**63, found {self.seed}")
        require_choice("training.optimizer", self.optimizer, Optimizer)
        require_choice("training.schedule", self.schedule, Schedule)
        require_choice("training.rescaling", self.rescaling, Rescaling)
        require_choice("training.keep", self.keep, Keep)
        require_choice("training.precision", self.precision, Precision)
