"""Every knob, one frozen dataclass a room: the default, its unit and its reason.

Kernels take plain numbers; the front of a room takes its own section.
`configfile` reads and writes these as TOML and JSON.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal, get_args

from cellflow.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FlattenPolicy = Literal["small_on_top", "nearest_centre", "last_wins", "drop_overlap"]
OverlapRule = Literal["higher_score", "score_order", "mask_nms"]
Precision = Literal["auto", "float32", "bfloat16"]
DiameterPolicy = Literal["auto", "fixed", "training", "per_type", "estimated", "refined"]
Compilation = Literal["auto", "none", "graphs", "inductor"]
Optimizer = Literal["sgd", "adam", "adamw", "radam"]
Schedule = Literal["auto", "cellpose", "cosine", "step", "one_cycle"]
AugmentLevel = Literal["none", "flip+resize", "report", "cellpose", "full"]
Rescaling = Literal["image", "cell_type", "dataset"]
Keep = Literal["last", "best"]
Refit = Literal["validation_then_train", "all"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_finite(section: str, settings: "DataclassInstance") -> None:
    for each in fields(settings):
        value = getattr(settings, each.name)
        finite = not isinstance(value, float) or math.isfinite(value)
        _require(finite, f"{section}.{each.name}: expected a finite number, found {value}")


def _require_choice(name: str, value: str, choices: object) -> None:
    allowed = get_args(choices)
    _require(value in allowed, f"{name}: expected one of {', '.join(allowed)}, found {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """How pictures and truth are read."""

    flatten: FlattenPolicy = "small_on_top"
    """Which cell keeps a pixel that several cover, for training targets only (ceiling 0.978)."""
    channels: tuple[int, int] = (0, 0)
    """Cellpose's meaning: first the channel to segment (0 grey, 1 red, 2 green, 3 blue), then
    the nuclear one (0 none)."""
    low_percentile: float = 1.0
    """Grey level that becomes 0, percent; Cellpose's default."""
    high_percentile: float = 99.0
    """Grey level that becomes 1, percent; Cellpose's default."""

    def __post_init__(self) -> None:
        _require_finite("data", self)
        _require_choice("data.flatten", self.flatten, FlattenPolicy)
        _require(
            len(self.channels) == 2 and all(0 <= channel <= 3 for channel in self.channels),
            f"data.channels: expected two numbers from 0 to 3, found {self.channels}",
        )
        _require(
            0 <= self.low_percentile < self.high_percentile <= 100,
            "data: expected 0 <= low_percentile < high_percentile <= 100, "
            f"found {self.low_percentile} and {self.high_percentile}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The U-Net. What differs from Cellpose's own sizes cannot take its pretrained weights."""

    diam_mean: float = 30.0
    """Diameter in pixels at which the network sees cells; 30 is Cellpose's cyto models' own."""
    channels_per_level: tuple[int, ...] = (32, 64, 128, 256)
    """Feature maps of the U-Net's levels, Cellpose's `nbase` without its first number."""

    def __post_init__(self) -> None:
        _require_finite("network", self)
        _require(self.diam_mean > 0, f"network.diam_mean: expected > 0 px, found {self.diam_mean}")
        _require(
            len(self.channels_per_level) >= 2 and min(self.channels_per_level) > 0,
            f"network.channels_per_level: expected 2 or more positive sizes, "
            f"found {self.channels_per_level}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicsConfig:
    """From flows to cells; names and defaults as in Cellpose."""

    cellprob_threshold: float = 0.0
    """Logit above which a pixel may belong to a cell."""
    flow_threshold: float = 0.4
    """Largest mean squared flow error of a cell that is kept; 0 switches the check off."""
    min_size: int = 15
    """Smallest cell that is kept, pixels."""
    score_threshold: float = 0.0
    """Smallest confidence of a cell that is kept, 0 to 1; 0 keeps all."""
    boundary_shift: float = 0.0
    """Pixels that every cell is grown by in the end, negative = shrunk; corrects a model's bias."""
    n_steps: int | None = None
    """Euler steps; None = Cellpose's 200 · diameter / diam_mean."""
    tolerance: float = 1e-3
    """A pixel has arrived when its step is shorter, pixels; 0 = follow to the exact end."""

    def __post_init__(self) -> None:
        _require_finite("dynamics", self)
        _require(self.flow_threshold >= 0, "dynamics.flow_threshold: expected >= 0 (0 = no check)")
        _require(self.min_size >= 0, "dynamics.min_size: expected >= 0 px")
        _require(
            0 <= self.score_threshold <= 1,
            f"dynamics.score_threshold: expected 0 to 1, found {self.score_threshold}",
        )
        _require(
            abs(self.boundary_shift) <= 10,
            f"dynamics.boundary_shift: expected -10 to 10 px, found {self.boundary_shift}",
        )
        _require(self.n_steps is None or self.n_steps > 0, "dynamics.n_steps: expected > 0")
        _require(self.tolerance >= 0, "dynamics.tolerance: expected >= 0 px")


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceConfig:
    """From an image to a flow field."""

    diameter: float | None = None
    """Cell diameter in the images, pixels; None = the model's training diameter."""
    diameter_policy: DiameterPolicy = "auto"
    """Where the diameter comes from, see cellflow/inference/diameter.py; auto = the first that is
    there: the cell type's, what is given, what the model was trained on, what the image shows."""
    views: int = 1
    """1, 2, 4 or 8 mirrored and turned views of each image, averaged; each costs one pass."""
    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the network sees each image, relative to its own; averaged. The cost of a pass
    grows with the square."""
    tile_size: int = 224
    """Side of the squares fed to the network, pixels; a multiple of 16; Cellpose's own."""
    tile_overlap: float = 0.1
    """Smallest share of a tile that its neighbour covers too; Cellpose's own."""
    batch_size: int | None = None
    """Tiles per forward pass; bounds the memory. None = 8; on a CPU 4, whose feature maps need
    less new memory (docs/decisions/0002-freed-memory-is-kept.md)."""
    precision: Precision = "auto"
    """auto = bfloat16 where the device computes it natively, and a tile of the first image shows
    that the network says the same in it (cellflow/inference/precision_gate.py); else float32."""
    compilation: Compilation = "auto"
    """How the network is prepared for its fixed shapes, see cellflow/inference/compilation.py; auto
    = CUDA graphs on CUDA (a second), nothing elsewhere. inductor costs a minute a network."""
    images_in_flight: int | None = None
    """Images in the network or followed to cells at the same time, and one more is read; bounds
    the memory. None = 3 with a GPU; 1 on a CPU, of which the network uses every core."""

    def __post_init__(self) -> None:
        _require_finite("inference", self)
        _require(
            self.diameter is None or self.diameter >= 1, "inference.diameter: expected >= 1 px"
        )
        _require(
            self.tile_size >= 32 and self.tile_size % 16 == 0,
            f"inference.tile_size: expected a multiple of 16, 32 or more, found {self.tile_size}",
        )
        _require(0 <= self.tile_overlap < 0.5, "inference.tile_overlap: expected 0 to 0.5")
        _require(
            self.batch_size is None or self.batch_size > 0, "inference.batch_size: expected > 0"
        )
        _require_choice("inference.precision", self.precision, Precision)
        _require_choice("inference.compilation", self.compilation, Compilation)
        self._check_diameter_policy()
        _require(
            self.views in (1, 2, 4, 8),
            f"inference.views: expected 1, 2, 4 or 8, found {self.views}",
        )
        _require(
            len(self.scales) > 0 and all(0.25 <= scale <= 4 for scale in self.scales),
            f"inference.scales: expected one or more factors from 0.25 to 4, found {self.scales}",
        )
        _require(
            len(set(self.scales)) == len(self.scales),
            f"inference.scales: each only once, found {self.scales}",
        )
        _require(
            self.images_in_flight is None or self.images_in_flight > 0,
            "inference.images_in_flight: expected > 0",
        )

    def _check_diameter_policy(self) -> None:
        _require_choice("inference.diameter_policy", self.diameter_policy, DiameterPolicy)
        _require(
            self.diameter_policy != "fixed" or self.diameter is not None,
            "inference.diameter_policy: fixed, but inference.diameter is not given",
        )
        _require(
            self.diameter_policy != "training" or self.diameter is None,
            f"inference.diameter_policy: training, but inference.diameter is {self.diameter}; "
            "set it to none",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The recipe; where no other reason stands, the value is Cellpose 3.1's."""

    n_epochs: int = 200
    """Passes over the training images; fine-tuning has levelled off by then."""
    max_minutes: float | None = None
    """Wall-clock budget: fewer epochs are planned, after timing the first steps, to keep it."""
    batch_size: int = 8
    learning_rate: float = 0.005
    """AdamW's in Cellpose's API."""
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
    of its cell type; dataset = all by one."""
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
        _require_finite("training", self)
        positive = ("n_epochs", "batch_size", "learning_rate", "validate_every", "step_every")
        for name in (*positive, "flow_weight"):
            value = getattr(self, name)
            _require(value > 0, f"training.{name}: expected > 0, found {value}")
        for name in ("max_minutes", "images_per_epoch", "gradient_clip", "patience"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"training.{name}: expected > 0, found {value}")
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
            _require(value >= 0, f"training.{name}: expected >= 0, found {value}")
        _require(
            self.crop_size >= 32 and self.crop_size % 16 == 0,
            f"training.crop_size: expected a multiple of 16, 32 or more, found {self.crop_size}",
        )
        _require(0 <= self.validation_share < 1, "training.validation_share: expected 0 to 1")
        _require(0 <= self.momentum < 1, "training.momentum: expected 0 to 1")
        _require(0 < self.step_gamma <= 1, "training.step_gamma: expected above 0, at most 1")
        _require(
            self.ema_decay is None or 0 < self.ema_decay < 1,
            f"training.ema_decay: expected between 0 and 1, found {self.ema_decay}",
        )
        _require(self.seed < 2**63, f"training.seed: expected < 2**63, found {self.seed}")
        _require_choice("training.optimizer", self.optimizer, Optimizer)
        _require_choice("training.schedule", self.schedule, Schedule)
        _require_choice("training.rescaling", self.rescaling, Rescaling)
        _require_choice("training.keep", self.keep, Keep)
        _require_choice("training.precision", self.precision, Precision)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How training crops are varied. None = as the level says; `training.levels` has the table."""

    level: AugmentLevel = "cellpose"
    """none < flip+resize < report (the seed report's) < full; cellpose = Cellpose's geometry."""
    horizontal_flip: float | None = None
    """Chance of mirroring left and right."""
    vertical_flip: float | None = None
    """Chance of mirroring top and bottom."""
    quarter_turns: bool | None = None
    """Whether to turn by 0, 90, 180 or 270 degrees, each as likely."""
    rotation: float | None = None
    """Largest free turn to either side, degrees; 180 = any."""
    scale_range: float | None = None
    """Width of the random zoom around 1: 0.5 = 0.75 to 1.25."""
    scale_range_by_type: Mapping[str, float] = field(default_factory=dict)
    """The same for images of a cell type, such as {astro = 0.8}; others take scale_range."""
    brightness: float | None = None
    """Largest offset to either side; 1 = from the 1st to the 99th percentile of the image."""
    contrast: float | None = None
    """Largest stretch about the mean to either side: 0.2 = 0.8 to 1.2."""
    gamma: float | None = None
    """Largest exponent less 1, on the crop's own range: 0.25 = 0.8 to 1.25."""
    illumination: float | None = None
    """Largest ramp across the crop, from its middle to its edge, as brightness."""
    blur: float | None = None
    """Largest standard deviation of the Gaussian, crop pixels."""
    noise: float | None = None
    """Largest standard deviation of the Gaussian noise, as brightness."""
    cutout: float | None = None
    """Largest side of the hole, share of the crop's; the loss leaves the hole out."""
    mosaic: float | None = None
    """Chance that a crop is made of four fields of different images."""
    probability: float = 0.5
    """Chance that brightness, contrast, gamma, illumination, blur, noise or cut-out touches a
    crop, each for itself."""

    def __post_init__(self) -> None:
        _require_finite("augment", self)
        _require_choice("augment.level", self.level, AugmentLevel)
        for name, least, most in (
            *((name, 0, 1) for name in ("horizontal_flip", "vertical_flip", "mosaic")),
            *((name, 0, 1) for name in ("probability", "cutout", "contrast")),
            ("rotation", 0, 180),
            ("scale_range", 0, 1.9),
            *((name, 0, 10) for name in ("brightness", "gamma", "illumination", "noise")),
            ("blur", 0, 50),
        ):
            value = getattr(self, name)
            _require(
                value is None or least <= value <= most,
                f"augment.{name}: expected {least} to {most:g}, found {value}",
            )
        for kind, value in self.scale_range_by_type.items():
            _require(
                0 <= value <= 1.9,
                f"augment.scale_range_by_type.{kind}: expected 0 to 1.9, found {value}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig:
    """How methods are made comparable. Not part of a model, so no section of `Config`."""

    overlap_rule: OverlapRule = "higher_score"
    """What happens to pixels that several detections cover; `comparison.overlap_rules` says."""
    tune_cutoffs: bool = True
    """Whether detections with scores are cut by score and area, per cell type, on folds: detectors
    list what they are hardly sure of, and the competition's score counts it as spurious."""
    n_folds: int = 5
    """Of the tuning; as for training."""
    coco: bool = True
    """Whether COCO's average precision is given beside, where the extra [coco] is installed."""
    hidden_images: int = 240
    """Images of a hidden test set, whose public and private part may disagree; the competition's
    is about so large."""
    public_share: float = 1 / 3
    """Share of them that the public leaderboard shows; assumed."""

    def __post_init__(self) -> None:
        _require_choice("comparison.overlap_rule", self.overlap_rule, OverlapRule)
        _require(self.n_folds >= 2, f"comparison.n_folds: expected >= 2, found {self.n_folds}")
        _require(
            self.hidden_images >= 2,
            f"comparison.hidden_images: expected >= 2, found {self.hidden_images}",
        )
        _require(
            0 < self.public_share < 1,
            f"comparison.public_share: expected between 0 and 1, found {self.public_share}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesConfig:
    """How the other stages of a training differ from the one on the training folder."""

    pretrain_epochs: int | None = None
    """Of each folder that is trained on before; None = as training.n_epochs."""
    pretrain_share: float = 0.5
    """Of a time budget, for all of those folders together."""
    refit_share: float = 0.2
    """Epochs of each pass of a refit, as a share of training.n_epochs; so for a time budget."""
    refit_rate: float = 0.1
    """Learning rate of a refit, as a share of training.learning_rate."""

    def __post_init__(self) -> None:
        _require_finite("stages", self)
        _require(
            self.pretrain_epochs is None or self.pretrain_epochs > 0,
            f"stages.pretrain_epochs: expected > 0, found {self.pretrain_epochs}",
        )
        for name in ("pretrain_share", "refit_share"):
            value = getattr(self, name)
            _require(0 < value < 1, f"stages.{name}: expected between 0 and 1, found {value}")
        _require(0 < self.refit_rate <= 1, "stages.refit_rate: expected above 0, at most 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """What `cellflow tune` tries: every combination of these values, and the folds it is told by.

    Cellpose's defaults and the model's own settings are tried as well.
    """

    cellprob_thresholds: tuple[float, ...] = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    """Each costs one following of the flows an image."""
    flow_thresholds: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 0.0)
    """0 = no check."""
    min_sizes: tuple[int, ...] = (15, 25, 35, 50, 75, 100, 150, 200, 300)
    """Pixels; real cells of the competition begin at 30."""
    score_thresholds: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """Of the calibrated confidence."""
    boundary_shifts: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
    """Pixels; one pixel costs a third of the score."""
    diameter_factors: tuple[float, ...] = (1.0,)
    """Times the model's diameter; each costs one pass of the network an image."""
    n_folds: int = 5
    """Of the outer cross-validation, which tells the honest score."""
    n_inner_folds: int = 4
    """Of the inner one, which tells whether tuning beats the defaults."""
    seed: int = 0
    """Of the folds."""

    def __post_init__(self) -> None:
        ranges = {
            "cellprob_thresholds": (-20, 20),
            "flow_thresholds": (0, 4),
            "min_sizes": (0, math.inf),
            "score_thresholds": (0, 1),
            "boundary_shifts": (-10, 10),
            "diameter_factors": (0.25, 4),
        }
        for name, (low, high) in ranges.items():
            values = getattr(self, name)
            _require(
                len(values) > 0 and all(low <= value <= high for value in values),
                f"tuning.{name}: expected one or more values from {low:g} to {high:g}, "
                f"found {values}",
            )
        for name in ("n_folds", "n_inner_folds"):
            value = getattr(self, name)
            _require(value >= 2, f"tuning.{name}: expected 2 or more, found {value}")
        _require(self.seed >= 0, f"tuning.seed: expected >= 0, found {self.seed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All sections together: what a run file holds and a model folder records."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    stages: StagesConfig = field(default_factory=StagesConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
