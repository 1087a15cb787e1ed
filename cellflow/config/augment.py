"""Settings of the augmentation of training crops."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellflow.config.checks import require, require_choice, require_finite

AugmentLevel = Literal["none", "flip+resize", "report", "cellpose", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """How training crops are augmented. None = the level's value, see `training.levels`."""

    level: AugmentLevel = "cellpose"
    """none < flip+resize < report (the seed report's) < full; cellpose = Cellpose's geometry."""
    horizontal_flip: float | None = None
    """Probability of a flip left to right."""
    vertical_flip: float | None = None
    """Probability of a flip top to bottom."""
    quarter_turns: bool | None = None
    """Whether to rotate by 0, 90, 180 or 270 degrees, all equally likely."""
    rotation: float | None = None
    """Largest free rotation in either direction, degrees; 180 = any."""
    scale_range: float | None = None
    """Width of the random zoom around 1: 0.5 = 0.75 to 1.25."""
    scale_range_by_type: Mapping[str, float] = field(default_factory=dict)
    """scale_range for images of a cell type, such as {astro = 0.8}; other types use scale_range."""
    brightness: float | None = None
    """Largest offset up or down; 1 = the distance from the 1st to the 99th percentile of the
    image."""
    contrast: float | None = None
    """Largest change of the contrast about the mean: 0.2 = factors 0.8 to 1.2."""
    gamma: float | None = None
    """Largest exponent minus 1, on the crop's own range of grey levels: 0.25 = 0.8 to 1.25."""
    illumination: float | None = None
    """Largest brightness ramp across the crop, from its middle to its edge; unit as brightness."""
    blur: float | None = None
    """Largest standard deviation of the Gaussian blur, crop pixels."""
    noise: float | None = None
    """Largest standard deviation of the Gaussian noise; unit as brightness."""
    cutout: float | None = None
    """Longest side of the hole, as a share of the crop's side; the loss ignores the hole."""
    mosaic: float | None = None
    """Probability that a crop is composed of four fields of different images."""
    probability: float = 0.5
    """Probability that each of brightness, contrast, gamma, illumination, blur, noise and cut-out
    is applied to a crop, independently of the others."""

    def __post_init__(self) -> None:
        require_finite("augment", self)
        require_choice("augment.level", self.level, AugmentLevel)
        for name, least, most in (
            *((name, 0, 1) for name in ("horizontal_flip", "vertical_flip", "mosaic")),
            *((name, 0, 1) for name in ("probability", "cutout", "contrast")),
            ("rotation", 0, 180),
            ("scale_range", 0, 1.9),
            *((name, 0, 10) for name in ("brightness", "gamma", "illumination", "noise")),
            ("blur", 0, 50),
        ):
            value = getattr(self, name)
            require(
                value is None or least <= value <= most,
                f"augment.{name}: expected {least} to {most:g}, found {value}",
            )
        for kind, value in self.scale_range_by_type.items():
            require(
                0 <= value <= 1.9,
                f"augment.scale_range_by_type.{kind}: expected 0 to 1.9, found {value}",
            )
