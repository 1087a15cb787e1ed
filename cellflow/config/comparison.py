"""How methods are made comparable."""

from dataclasses import dataclass
from typing import Literal

from cellflow.config.checks import require, require_choice

OverlapRule = Literal["higher_score", "score_order", "mask_nms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig:
    """How methods are made comparable. Not part of a model, so no section of `Config`."""

    overlap_rule: OverlapRule = "higher_score"
    """What happens to pixels that several detections cover; `inference.overlap_rules` says."""
    tune_cutoffs: bool = True
    """Whether detections with scores are cut by score and area, per cell type, on folds: detectors
    list what they are hardly sure of, and the competition's score counts it as spurious."""
    n_folds: int = 5
    """Of the tuning; as for training."""
    coco: bool = True
    """Whether COCO's average precision is given beside, where the extra [coco] is installed."""
    hidden_images: int = 240
    """Images of a hidden test set, whose public and private part may disagree; the competition's
    is about so large."""
    public_share: float = 1 / 3
    """Share of them that the public leaderboard shows; assumed."""

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
