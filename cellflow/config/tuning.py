"""Settings of the tuning of thresholds."""

import math
from dataclasses import dataclass

from cellflow.config.checks import require


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """The grid that `cellflow tune` searches, every combination of these values, and the folds.

    Cellpose's defaults and the model's own settings are tried as well.
    """

    cellprob_thresholds: tuple[float, ...] = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    """For each of them the flows of every image are followed once."""
    flow_thresholds: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 0.0)
    """0 = no check."""
    min_sizes: tuple[int, ...] = (15, 25, 35, 50, 75, 100, 150, 200, 300)
    """Pixels; real cells of the competition begin at 30."""
    score_thresholds: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    """For the calibrated confidence."""
    boundary_shifts: tuple[float, ...] = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
    """Pixels; a boundary that is one pixel off costs a third of the score."""
    diameter_factors: tuple[float, ...] = (1.0,)
    """Factors of the model's diameter; each costs one pass of the network per image."""
    n_folds: int = 5
    """Folds of the outer cross-validation, which gives the unbiased score."""
    n_inner_folds: int = 4
    """Folds of the inner cross-validation, which decides whether tuning beats the defaults."""
    seed: int = 0
    """Seed of the assignment to folds."""

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
            require(
                len(values) > 0 and all(low <= value <= high for value in values),
                f"tuning.{name}: expected one or more values from {low:g} to {high:g}, "
                f"found {values}",
            )
        for name in ("n_folds", "n_inner_folds"):
            value = getattr(self, name)
            require(value >= 2, f"tuning.{name}: expected 2 or more, found {value}")
        require(self.seed >= 0, f"tuning.seed: expected >= 0, found {self.seed}")
