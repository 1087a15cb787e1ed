"""The U-Net's sizes."""

from dataclasses import dataclass

from cellflow.config.checks import require, require_finite

MOST_LEVELS = 5
"""So many halve an input four times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The U-Net. What differs from Cellpose's own sizes cannot take its pretrained weights."""

    diam_mean: float = 30.0
    """Diameter in pixels at which the network sees cells; 30 is Cellpose's cyto models' own."""
    channels_per_level: tuple[int, ...] = (32, 64, 128, 256)
    """Feature maps of the U-Net's levels, Cellpose's `nbase` without its first number; 2 to 5 of
    them, since images are padded to multiples of 16, as in Cellpose, and each level but the last
    halves its input."""

    def __post_init__(self) -> None:
        require_finite("network", self)
        require(self.diam_mean > 0, f"network.diam_mean: expected > 0 px, found {self.diam_mean}")
        require(
            2 <= len(self.channels_per_level) <= MOST_LEVELS and min(self.channels_per_level) > 0,
            f"network.channels_per_level: expected 2 to {MOST_LEVELS} positive sizes, "
            f"found {self.channels_per_level}",
        )
