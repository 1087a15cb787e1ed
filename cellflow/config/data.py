"""Settings for reading pictures and truth."""

from dataclasses import dataclass
from typing import Literal

from cellflow.config.checks import require, require_choice, require_finite

FlattenPolicy = Literal["small_on_top", "nearest_centre", "last_wins", "drop_overlap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """How pictures and truth are read."""

    flatten: FlattenPolicy = "small_on_top"
    """Which cell gets a pixel that several cover, in training targets only (ceiling of the score:
    0.978)."""
    channels: tuple[int, int] = (0, 0)
    """As in Cellpose: first the channel to segment (0 grey, 1 red, 2 green, 3 blue), then the
    nuclear channel (0 none). Beside grey Cellpose ignores a nuclear channel, so it is refused."""
    low_percentile: float = 1.0
    """Percentile of the grey levels that becomes 0; Cellpose's default."""
    high_percentile: float = 99.0
    """Percentile of the grey levels that becomes 1; Cellpose's default."""

    def __post_init__(self) -> None:
        require_finite("data", self)
        require_choice("data.flatten", self.flatten, FlattenPolicy)
        require(
            len(self.channels) == 2 and all(0 <= channel <= 3 for channel in self.channels),
            f"data.channels: expected two numbers from 0 to 3, found {self.channels}",
        )
        require(
            self.channels[0] > 0 or self.channels[1] == 0,
            f"data.channels: Cellpose ignores a nuclear channel beside grey (0), found "
            f"{self.channels}; choose the cells' channel too (--chan), or no nuclei (--chan2 0)",
        )
        require(
            0 <= self.low_percentile < self.high_percentile <= 100,
            "data: expected 0 <= low_percentile < high_percentile <= 100, "
            f"found {self.low_percentile} and {self.high_percentile}",
        )
