"""Settings of the other stages of a training: before (pretraining) and after it (refit)."""

from dataclasses import dataclass
from typing import Literal

from cellflow.config.checks import require, require_finite

Refit = Literal["validation_then_train", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesConfig:
    """How the other stages differ from the main one, on the training folder."""

    pretrain_epochs: int | None = None
    """Epochs on each folder for pretraining; None = training.n_epochs."""
    pretrain_share: float = 0.5
    """Share of a time budget for pretraining, for all folders together."""
    refit_share: float = 0.2
    """Epochs of each pass of a refit, as a share of training.n_epochs; also its share of a time
    budget."""
    refit_rate: float = 0.1
    """Learning rate of a refit, as a share of training.learning_rate."""

    def __post_init__(self) -> None:
        require_finite("stages", self)
        require(
            self.pretrain_epochs is None or self.pretrain_epochs > 0,
            f"stages.pretrain_epochs: expected > 0, found {self.pretrain_epochs}",
        )
        for name in ("pretrain_share", "refit_share"):
            value = getattr(self, name)
            require(0 < value < 1, f"stages.{name}: expected between 0 and 1, found {value}")
        require(0 < self.refit_rate <= 1, "stages.refit_rate: expected above 0, at most 1")
