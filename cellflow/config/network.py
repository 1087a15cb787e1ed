"""Settings of the network: the sizes of the U-Net."""

from dataclasses import dataclass

from cellflow.config.checks import require, require_finite

MOST_LEVELS = 5
"""A U-Net with this many levels halves its input four times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The U-Net. Cellpose's pretrained weights fit only its own sizes, the defaults."""

    diam_mean: float = 30.0
    """Diameter at which the network sees cells, pixels; 30 as in Cellpose's cyto models."""
    channels_per_level: tuple[int, ...] = (32, 64, 128, 256)
    """Feature maps on each level of the U-Net: Cellpose's `nbase` without its first number. 2 to 5
    levels, since images are padded to multiples of 16, as in Cellpose, and each level but the last
    halves its input."""

    def __post_init__(self) -> None:
        require_finite("network", self)
        require(self.diam_mean > 0, f"network.diam_mean: expected > 0 px, found {self.diam_mean}")
        require(
            2 <= len(self.channels_per_level) <= MOST_LEVELS and min(self.channels_per_level) > 0,
            f"network.channels_per_level: expected 2 to {MOST_LEVELS} positive sizes, "
            f"found {self.channels_per_level}",
        )
