"""All settings of the trained baselines, with unit and reason; `presets` has named sets of them.

They are not part of `Config`: these models share data, folds, augmentation and metrics with
cellflow's own, but neither network nor dynamics.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args

from cellflow.config import (
    AugmentConfig,
    FlattenPolicy,
    Keep,
    Optimizer,
    OverlapRule,
    TrainingConfig,
    UnscaledPrecision,
)
from cellflow.config.checks import require, require_choice, require_finite
from cellflow.config.network import MOST_LEVELS

ModelName = Literal["mask-rcnn", "cascade-mask-rcnn", "unet"]
Backbone = Literal["resnet18", "resnet50", "resnet101"]
Norm = Literal["auto", "frozen", "batch", "group"]
Grey = Literal["fixed", "percentile"]
StepSchedule = Literal["constant", "step", "cosine"]

MODELS: tuple[str, ...] = get_args(ModelName)
RANDOM = "random"
"""Name of random initial weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How pictures are prepared for the network."""

    grey: Grey = "percentile"
    """percentile = 0 and 1 are the image's 1st and 99th percentile, as for cellflow's own models;
    fixed = (grey - mean) / std, with grey levels from 0 to 255."""
    mean: float = 127.965
    """For fixed, grey levels from 0 to 255; from the seed report, which does not state its std."""
    std: float = 57.63
    """For fixed: the mean of the three channels' values that torchvision's weights expect."""
    scale: float = 1.5
    """Network pixels per image pixel: cells of 17 px are near the smallest anchors."""

    def __post_init__(self) -> None:
        require_finite("image", self)
        require_choice("image.grey", self.grey, Grey)
        require(self.std > 0, f"image.std: expected > 0, found {self.std}")
        require(0.25 <= self.scale <= 8, f"image.scale: expected 0.25 to 8, found {self.scale}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """Mask R-CNN and Cascade Mask R-CNN; sizes in network pixels."""

    backbone: Backbone = "resnet50"
    norm: Norm = "auto"
    """auto = frozen if the initial weights have batch normalisation, else group: with random
    weights, the statistics of the few images in an iteration are too poor for batch."""
    trainable_layers: int = 4
    """Of the backbone, counted from the last: 4 = from torchvision's layer1 (Detectron2's res2) on.
    With random weights all layers are trained."""
    pyramid_channels: int = 256
    """Channels of the feature pyramid and of the mask head."""
    box_features: int = 1024
    """Width of the two layers of the box head."""
    anchor_sizes: tuple[int, ...] = (16, 32, 64, 128, 256)
    """One per pyramid level, from stride 4 on."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width."""
    rpn_background: float = 0.3
    """IoU with every cell's box below which an anchor is background."""
    rpn_foreground: float = 0.7
    """IoU from which on an anchor is a cell."""
    rpn_samples: int = 256
    """Anchors per image in the loss."""
    rpn_before_train: int = 4000
    """Proposals per level before suppression, in training."""
    rpn_before_test: int = 4000
    rpn_after_train: int = 3000
    """Proposals per image after suppression, in training."""
    rpn_after_test: int = 3000
    rpn_nms: float = 0.7
    """IoU above which the weaker of two proposals is dropped."""
    rois: int = 512
    """Proposals per image that the heads are trained on."""
    box_nms: float = 0.5
    """IoU above which the weaker of two boxes of a class is dropped."""
    box_score: float = 0.05
    """Minimum score of a box to get a mask at all."""
    detections: int | None = None
    """Limit per image; None = twice the number of cells in the densest training image, but at least
    1000. The densest image of the competition has 790."""

    def __post_init__(self) -> None:
        require_finite("detector", self)
        require_choice("detector.backbone", self.backbone, Backbone)
        require_choice("detector.norm", self.norm, Norm)
        require(
            0 <= self.trainable_layers <= 5,
            f"detector.trainable_layers: expected 0 to 5, found {self.trainable_layers}",
        )
        require(
            len(self.anchor_sizes) == 5 and min(self.anchor_sizes) > 0,
            f"detector.anchor_sizes: expected 5 sizes, found {self.anchor_sizes}",
        )
        require(
            len(self.anchor_ratios) > 0 and min(self.anchor_ratios) > 0,
            f"detector.anchor_ratios: expected one or more above 0, found {self.anchor_ratios}",
        )
        require(
            0 <= self.rpn_background <= self.rpn_foreground <= 1,
            "detector: expected 0 <= rpn_background <= rpn_foreground <= 1, "
            f"found {self.rpn_background} and {self.rpn_foreground}",
        )
        for name in ("rpn_nms", "box_nms", "box_score"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"detector.{name}: expected 0 to 1, found {value}")
        whole = ("pyramid_channels", "box_features", "rpn_samples", "rpn_before_train")
        for name in (*whole, "rpn_before_test", "rpn_after_train", "rpn_after_test", "rois"):
            value = getattr(self, name)
            require(value > 0, f"detector.{name}: expected > 0, found {value}")
        require(
            self.detections is None or self.detections > 0,
            f"detector.detections: expected > 0, found {self.detections}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetSettings:
    """The semantic U-Net: background, inside and boundary of cells, then a watershed."""

    channels_per_level: tuple[int, ...] = (32, 64, 128, 256)
    """Feature maps per level, as in cellflow's own networks."""
    flatten: FlattenPolicy = "small_on_top"
    """Which cell keeps a pixel that several cover, in the training target."""
    boundary_width: int = 1
    """Width of the boundary in the training target: pixels of each cell from its edge inwards."""
    boundary_weight: float = 3.0
    """Weight of a boundary pixel in the loss, as there are few of them."""
    foreground_threshold: float = 0.5
    """Probability of being inside or boundary from which on a pixel belongs to a cell."""
    marker_threshold: float = 0.5
    """Probability of being inside from which on a pixel is part of a marker."""

    def __post_init__(self) -> None:
        require_finite("unet", self)
        require(
            2 <= len(self.channels_per_level) <= MOST_LEVELS and min(self.channels_per_level) > 0,
            f"unet.channels_per_level: expected 2 to {MOST_LEVELS} positive sizes, "
            f"found {self.channels_per_level}",
        )
        require_choice("unet.flatten", self.flatten, FlattenPolicy)
        require(self.boundary_width > 0, "unet.boundary_width: expected > 0 px")
        require(self.boundary_weight > 0, "unet.boundary_weight: expected > 0")
        for name in ("foreground_threshold", "marker_threshold"):
            value = getattr(self, name)
            require(0 < value < 1, f"unet.{name}: expected between 0 and 1, found {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """The training, counted in iterations; names are those of `TrainingConfig` where they match."""

    iterations: int = 10_000
    batch_size: int = 4
    """Crops per iteration."""
    crop_height: int = 512
    """Size of a crop, network pixels; a multiple of 32."""
    crop_width: int = 512
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.005
    momentum: float = 0.9
    """Of sgd."""
    weight_decay: float = 1e-4
    schedule: StepSchedule = "cosine"
    step_start: int = 2000
    """Iteration of the first drop of the rate, for schedule step."""
    step_every: int = 1000
    """Iterations between its drops."""
    step_gamma: float = 0.8
    warmup: int = 500
    """Iterations over which the rate rises at the start; at most a tenth of all."""
    gradient_clip: float | None = 10.0
    """Maximum norm of the gradient; a single crop without cells can throw a detector off."""
    precision: UnscaledPrecision = "float32"
    """auto = bfloat16 if the device computes it natively, for backbone and heads only; not float16,
    whose range a Mask R-CNN exceeds (docs/decisions/0504-average-rate-and-precision.md)."""
    validate_every: int = 500
    """Iterations between two validations by the competition score, which is also when a line of
    metrics.csv and a checkpoint are written; there may be more checkpoints."""
    pretrain_iterations: int = 10_000
    """Iterations of the stage on other data, if there is one."""
    cache_megabytes: int = 1024
    """Memory for pictures; those that do not fit are read again each time."""
    keep: Keep = "last"
    """Which weights go into the model folder; best is selected on the held-out images."""
    max_minutes: float | None = None
    """Time budget including preparation and validations; None = run all iterations. If there is a
    stage on other images, the two stages share it in proportion to their iterations."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("iterations", "pretrain_iterations"):
            value = getattr(self, name)
            require(value > 0, f"training.{name}: expected > 0, found {value}")
        require(self.warmup >= 0, f"training.warmup: expected >= 0, found {self.warmup}")
        for name in ("crop_height", "crop_width"):
            value = getattr(self, name)
            require(
                value >= 32 and value % 32 == 0,
                f"training.{name}: expected a multiple of 32, found {value}",
            )
        require_choice("training.schedule", self.schedule, StepSchedule)
        require_choice("training.precision", self.precision, UnscaledPrecision)
        self.as_training_config()  # checks all other settings

    def as_training_config(self) -> TrainingConfig:
        """Give the settings in the form that `make_optimizer` and `learning_rates` read.

        Notes
        -----
        One epoch stands for one iteration, so the warm-up counts iterations.
        """
        same = {field.name for field in fields(self)} & {one.name for one in fields(TrainingConfig)}
        settings = {name: getattr(self, name) for name in same}
        settings |= {"n_epochs": self.iterations, "warmup_epochs": self.warmup}
        if self.schedule != "constant":
            return TrainingConfig(**settings)
        return replace(TrainingConfig(**{**settings, "schedule": "step"}), step_gamma=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellChoice:
    """Which of the detected cells are kept."""

    score_threshold: float = 0.5
    """Minimum score for classes without one of their own."""
    score_thresholds: Mapping[str, float] = field(default_factory=dict)
    """Minimum scores by class, such as {cort = 0.5, astro = 0.3}."""
    min_area: int = 30
    """Minimum pixels after overlaps are resolved; the competition's cells have 30 or more."""
    min_areas: Mapping[str, int] = field(default_factory=dict)
    """By class."""
    overlap_rule: OverlapRule = "higher_score"
    """Which cell keeps a pixel that several cover, see `inference.overlap_rules`."""
    mask_threshold: float = 0.5
    """Probability from which on a pixel of a box belongs to the cell; for the detectors."""

    def __post_init__(self) -> None:
        require_finite("cells", self)
        require_choice("cells.overlap_rule", self.overlap_rule, OverlapRule)
        for where, score in {
            "score_threshold": self.score_threshold,
            **self.score_thresholds,
        }.items():
            require(0 <= score <= 1, f"cells, score of {where}: expected 0 to 1, found {score}")
        for where, area in {"min_area": self.min_area, **self.min_areas}.items():
            require(area >= 0, f"cells, area of {where}: expected >= 0 px, found {area}")
        require(0 < self.mask_threshold < 1, "cells.mask_threshold: expected between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineConfig:
    """All sections together, as recorded in the folder of a baseline."""

    image: ImageSettings = field(default_factory=ImageSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    unet: UNetSettings = field(default_factory=UNetSettings)
    training: FitSettings = field(default_factory=FitSettings)
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(level="report"))
    cells: CellChoice = field(default_factory=CellChoice)
