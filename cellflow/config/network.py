"""The U-Net's sizes."""

from dataclasses import dataclass

from cellflow.config.checks import require, require_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The U-Net. What differs from Cellpose's own sizes cannot take its pretrained weights."""

    diam_mean: float = 30.0
    """Diameter in pixels at which the network sees cells; 30 is Cellpose's cyto models' own."""
    channels_per_level: tuple[int, ...] = (32, 64, 128, 256)
    """Feature maps of the U-Net's levels, Cellpose's `nbase` without its first number."""

    def __post_init__(self) -> None:
        require_finite("network", self)
        require(self.diam_mean > 0, f"network.diam_mean: expected > 0 px, found {self.diam_mean}")
        require(
            len(self.channels_per_level) >= 2 and min(self.channels_per_level) > 0,
            f"network.channels_per_level: expected 2 or more positive sizes, "
            f"found {self.channels_per_level}",
        )
