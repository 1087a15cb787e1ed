"""The named rules by which variants are ordered; a table uses one, and explains it."""

import math
from collections.abc import Sequence

import numpy as np

from cellflow.experiments.plan import RankBy
from cellflow.experiments.store import Row

N_LAST = 10
"""Number of validations used by ``last10`` and ``stability``."""

MEANING: dict[RankBy, str] = {
    "last": "the mAP of the final weights on held-out images, by which nothing was chosen",
    "best": (
        "the best validation of each run. It was chosen on the very images that it is scored on, "
        "so that column is too high; mAP is of the final weights"
    ),
    "last10": (
        f"the mean of the last {N_LAST} validations of each run, as in the seed report. Nothing is "
        "chosen by it, but it is of earlier weights too; mAP is of the final ones"
    ),
    "stability": (
        f"the standard deviation of the last {N_LAST} validations of each run, smallest first: how "
        "far the choice of the last step is luck, not how good the model is"
    ),
}


def rank_value(rows: Sequence[Row], rank_by: RankBy) -> float:
    """Give the value by which a variant is ordered.

    Parameters
    ----------
    rows : sequence of Row
        Of one variant.
    rank_by : {"last", "best", "last10", "stability"}

    Returns
    -------
    float
        Mean over the runs, each weighted by its number of held-out images. NaN if a run has no
        validations, or fewer than two for ``stability``: such a variant is not ranked.
    """
    sizes = [len(row.images) for row in rows]
    values = [_of_run(row, rank_by) for row in rows]
    return float(np.average(values, weights=sizes))


def in_order(values: Sequence[float], rank_by: RankBy) -> list[int]:
    """Give the indices of values, best first; unranked values come last."""
    sign = 1 if rank_by == "stability" else -1
    keys = [math.inf if math.isnan(value) else sign * value for value in values]
    return sorted(range(len(values)), key=lambda place: keys[place])


def fewest_validations(rows: Sequence[Row]) -> int:
    """Give the number of validations of the run with the fewest."""
    return min((len(row.curve) for row in rows), default=0)


def _of_run(row: Row, rank_by: RankBy) -> float:
    if rank_by == "last":
        return float(np.mean([image["score"] for image in row.images.values()]))
    scores = [score for _, _, score in row.curve]
    if rank_by == "best":
        return max(scores, default=math.nan)
    if rank_by == "last10":
        return float(np.mean(scores[-N_LAST:])) if scores else math.nan
    return float(np.std(scores[-N_LAST:], ddof=1)) if len(scores) > 1 else math.nan
