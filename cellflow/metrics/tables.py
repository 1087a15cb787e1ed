"""Scores as text tables of at most 100 columns."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cellflow.metrics.matching import THRESHOLDS

if TYPE_CHECKING:
    from cellflow.metrics.score import Score, TypeScore


def score_table(score: "Score") -> str:
    """Give the score per cell type and threshold, its interval, and the remarks."""
    from cellflow.metrics.score import empty_cases

    rows = {"all": score.overall, **score.per_cell_type}
    width = max(9, *map(len, rows))
    lines = [
        f"{'cell type':<{width}}  images   truth  found    mAP  95 % interval     AP50   AP75",
        *(f"{name:<{width}}  {_line(one)}" for name, one in rows.items()),
        "",
        f"{'IoU >':<{width}}  " + "  ".join(f"{t:.2f}" for t in THRESHOLDS),
        *(f"{name:<{width}}  {_precisions(one.per_threshold)}" for name, one in rows.items()),
        "",
        f"Variant {score.variant}. {empty_cases(score.variant)}",
        *(f"{remark}." for remark in score.remarks),
    ]
    return "\n".join(lines)


def _line(score: "TypeScore") -> str:
    mean = score.mean
    # There is no interval if all images are of one group.
    alone = "      (1 image)" if score.n_images == 1 else "      (1 group)"
    interval = alone if np.isnan(mean.low) else mean.bounds()
    ap50, ap75 = score.per_threshold[0], score.per_threshold[5]
    return (
        f"{score.n_images:6d}  {score.n_truths:6d} {score.n_predicted:6d}  {mean.estimate:.3f}  "
        f"{interval:<15}  {ap50:.3f}  {ap75:.3f}"
    )


def _precisions(values: NDArray[np.float64]) -> str:
    return "  ".join(f"{value:.2f}" for value in values)
