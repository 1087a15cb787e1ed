"""The recipe of a training."""

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
    """The recipe; where no other reason stands, the value is Cellpose 3.1's."""

    n_epochs: int = 200
    """Passes over the training images; fine-tuning has levelled off by then."""
    max_minutes: float | None = None
    """Wall-clock budget: fewer epochs are planned, after timing the first steps, to keep it."""
    batch_size: int = 8
    learning_rate: float | None = None
    """Peak of the schedule. None = from random weights 0.005, as Cellpose's API has it for AdamW;
    from trained ones 0.001 (docs/decisions/0510-the-rate-of-trained-weights.md)."""
    optimizer: Optimizer = "adamw"
    weight_decay: float = 1e-5
    """Taken off the weights by adamw; added to the gradient by sgd, adam and radam (PyTorch's)."""
    momentum: float = 0.9
    """Of sgd only."""
    schedule: Schedule = "auto"
    """cellpose = Cellpose's, which anneals only beyond 100 epochs; auto = it there, else cosine.
    step = times step_gamma every step_every steps from step_start on; one_cycle = PyTorch's."""
    warmup_epochs: int = 10
    """Epochs in which the rate rises; at most a tenth of the run but in Cellpose's schedule.
    one_cycle has its own rise instead: the first 30 % of the run."""
    step_start: int = 2000
    """Optimiser steps before the first fall of schedule step; the seed report's iterations."""
    step_every: int = 1000
    """Optimiser steps between its falls."""
    step_gamma: float = 0.8
    """Factor of each of its falls."""
    gradient_clip: float | None = None
    """Largest norm of the whole gradient; a longer one is shortened to it. None = as it comes."""
    ema_decay: float | None = None
    """Share that the running average of the weights keeps at each step, such as 0.999; the average
    is then what is validated and kept. None = the weights themselves."""
    flow_weight: float = 1.0
    """What the loss of flows counts beside that of the cell probability; 1 = Cellpose's."""
    style: bool = True
    """Whether the decoder sees the style vector. false = its weights are 0 and stay so, and every
    program that opens the model finds the same cells."""
    crop_size: int = 224
    """Side of the random squares, pixels; a multiple of 16."""
    images_per_epoch: int | None = None
    """Crops drawn an epoch; None = one of every training image."""
    rescaling: Rescaling = "image"
    """image = each image to diam_mean by its own diameter (Cellpose); cell_type = by the diameter
    of its cell type, where prediction sees all by one unless the types' diameters are put into
    thresholds.json; dataset = all by one."""
    min_cells: int = 5
    """Images with fewer cells are left out of training, as Cellpose's min_train_masks does."""
    validation_share: float = 0.2
    """Share of the images held out when no folds file is given; 0 = none."""
    validate_every: int = 10
    """Epochs between two validations by the competition score."""
    precision: Precision = "float32"
    """Training in bfloat16 stays opt-in until its score is shown equal."""
    compile: bool = False
    """Whether torch.compile makes the network's kernels; pays on CUDA only, after a minute or two
    of compiling, and on Linux needs a C compiler."""
    n_workers: int = 0
    """Loader processes; 0 = threads of this one: one on a CPU, up to 8 beside a GPU."""
    cache_megabytes: int = 1024
    """Prepared images (9 bytes a grey pixel, 13 with mosaics) kept in memory, over all loaders; the
    rest is prepared again when its turn comes."""
    store_prepared: bool = False
    """Whether to keep all of them in the folder $CELLFLOW_CACHE/prepared too, for this run and
    later ones; pays beside a GPU, for data that does not fit into cache_megabytes."""
    keep: Keep = "last"
    """Which weights the model folder takes: last = of the last epoch, so that the score on the
    held-out fold is unbiased; best = of the best validation, selected on that very fold."""
    patience: int | None = None
    """Validations in a row without a better score after which training stops; this lets the
    held-out fold choose the length, and the model card says so. None = no early stop."""
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
