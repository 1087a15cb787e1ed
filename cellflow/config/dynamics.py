"""Settings of the dynamics: from flows to cells."""

from dataclasses import dataclass

from cellflow.config.checks import require, require_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicsConfig:
    """How flows are turned into cells; names and defaults as in Cellpose."""

    cellprob_threshold: float = 0.0
    """Logit above which a pixel may belong to a cell."""
    flow_threshold: float = 0.4
    """Largest mean squared flow error of a cell that is kept; 0 = no check."""
    min_size: int = 15
    """Smallest cell that is kept, pixels."""
    score_threshold: float = 0.0
    """Smallest confidence of a cell that is kept, 0 to 1; 0 keeps all."""
    boundary_shift: float = 0.0
    """Pixels by which every cell is grown at the end (negative: shrunk), to correct the boundary
    bias of a model."""
    n_steps: int | None = None
    """Euler steps; None = 200 · diameter / diam_mean, as in Cellpose."""
    tolerance: float = 1e-3
    """A walk ends early if 8 steps move it by no more than this, pixels; 0 = exact, see
    `dynamics.follow`."""

    def __post_init__(self) -> None:
        require_finite("dynamics", self)
        require(
            self.flow_threshold >= 0,
            f"dynamics.flow_threshold: expected >= 0 (0 = no check), found {self.flow_threshold}",
        )
        require(self.min_size >= 0, f"dynamics.min_size: expected >= 0 px, found {self.min_size}")
        require(
            0 <= self.score_threshold <= 1,
            f"dynamics.score_threshold: expected 0 to 1, found {self.score_threshold}",
        )
        require(
            abs(self.boundary_shift) <= 10,
            f"dynamics.boundary_shift: expected -10 to 10 px, found {self.boundary_shift}",
        )
        require(
            self.n_steps is None or self.n_steps > 0,
            f"dynamics.n_steps: expected > 0, found {self.n_steps}",
        )
        require(
            self.tolerance >= 0, f"dynamics.tolerance: expected >= 0 px, found {self.tolerance}"
        )
