"""Settings that make methods comparable."""

from dataclasses import dataclass
from typing import Literal

from cellflow.config.checks import require, require_choice

OverlapRule = Literal["higher_score", "score_order", "mask_nms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig:
    """How methods are made comparable. Not part of a model, so not a section of `Config`."""

    overlap_rule: OverlapRule = "higher_score"
    """Which cell gets pixels that several detections cover, see `inference.overlap_rules`."""
    tune_cutoffs: bool = True
    """Whether to tune a cutoff of score and area, per cell type, on folds. Detectors also list
    detections that they are hardly sure of; the competition's score counts these as spurious."""
    n_folds: int = 5
    """Folds of this tuning, as many as for training."""
    coco: bool = True
    """Whether to give COCO's average precision as well, if the extra [coco] is installed."""
    hidden_images: int = 240
    """Images of a simulated hidden test set, whose public and private part may disagree; about as
    many as the competition's."""
    public_share: float = 1 / 3
    """Share of these images that the public leaderboard uses; an assumption."""

    def __post_init__(self) -> None:
        require_choice("comparison.overlap_rule", self.overlap_rule, OverlapRule)
        require(self.n_folds >= 2, f"comparison.n_folds: expected >= 2, found {self.n_folds}")
        require(
            self.hidden_images >= 2,
            f"comparison.hidden_images: expected >= 2, found {self.hidden_images}",
        )
        require(
            0 < self.public_share < 1,
            f"comparison.public_share: expected between 0 and 1, found {self.public_share}",
        )
