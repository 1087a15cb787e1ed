"""Average precision of one image as the competition defines it, and its public variants by name.

How it works: find all pairs of cells that share pixels (`overlap`). At each IoU threshold
0.50 … 0.95 keep the pairs above it, and count hits (TP), spurious predictions (FP) and missed
truths (FN). The precision is TP / (TP + FP + FN), the score of the image its mean over the
thresholds.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cellflow.data.flatten import flatten
from cellflow.errors import ConfigError, LabelError
from cellflow.metrics.matching import PERCENT, THRESHOLDS, count_matches, passing_pairs
from cellflow.metrics.overlap import Cells, Overlap, as_masks, find_overlap
from cellflow.records import CellMasks, ImagePrecision, MatchCounts

Variant = Literal["competition", "report", "pooled", "at-least-one", "exactly-one", "hungarian-ge"]
VARIANTS: tuple[str, ...] = get_args(Variant)

_PAIRED = "A prediction hits a true cell when their intersection over union is {} the threshold, "
_PAIRED += "one prediction a cell"
_LOOSE = "A prediction and a true cell are partners when their intersection over union is greater "
_LOOSE += "than the threshold"
HITS: dict[Variant, str] = {
    "competition": _PAIRED.format("greater than"),
    "pooled": _PAIRED.format("greater than"),
    "report": f"{_LOOSE}; TP are predictions with a partner, FN true cells without",
    "at-least-one": f"{_LOOSE}; TP are true cells with a partner, FP predictions without",
    "exactly-one": f"{_LOOSE}; TP are predictions with exactly one partner, FP those without any",
    "hungarian-ge": _PAIRED.format("at least") + "; masks that overlap are flattened before",
}
"""What counts as a hit in each variant, for readers of a score."""


def average_precision(
    truth: Cells, predicted: Cells, *, variant: Variant = "competition"
) -> ImagePrecision:
    """Score the predicted cells of one image.

    Parameters
    ----------
    truth, predicted : CellMasks, or (H, W) label image
        Cells of either side may overlap each other; the competition's truth does.
    variant : str
        How hits are counted at a threshold t. Two cells with IoU > t are partners.

        - ``competition``: one-to-one, as many pairs as possible;
        - ``pooled``: as ``competition``; differs only over several images;
        - ``report``: TP are predictions with a partner, FN truths without;
        - ``at-least-one``: TP are truths with a partner, FP predictions without;
        - ``exactly-one``: TP are predictions with exactly one partner, FP those without any;
        - ``hungarian-ge``: one-to-one with IoU ≥ t on label images, as in Cellpose and StarDist;
          masks that overlap are flattened first, small cells on top.

    Returns
    -------
    ImagePrecision
        At the ten thresholds 0.50, 0.55 … 0.95.

    Raises
    ------
    ConfigError
        An unknown variant.
    LabelError
        A side is neither `CellMasks` nor an array, or not valid labels, or the two are for images
        of different size.

    Notes
    -----
    An image with neither truth nor prediction scores 1, one with only one of them scores 0.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0, 2]])
    >>> found = np.array([[1, 1, 0, 0, 2]])
    >>> average_precision(truth, found).precision
    array([1.        , 1.        , 1.        , 1.        , 0.33333333,
           0.33333333, 0.33333333, 0.33333333, 0.33333333, 0.33333333])
    """
    if variant not in VARIANTS:
        raise ConfigError(f"unknown variant {variant!r}; known: {', '.join(VARIANTS)}")
    for side, cells in (("truth", truth), ("predicted", predicted)):
        if not isinstance(cells, CellMasks | np.ndarray):
            raise LabelError(
                f"{side}: expected CellMasks or the label image of one image as an (H, W) array, "
                f"found {type(cells).__name__}"
            )
    if variant == "hungarian-ge":
        truth, predicted = flatten(as_masks(truth)), flatten(as_masks(predicted))
    overlap = find_overlap(truth, predicted)
    count = _COUNTERS[variant]
    counts = np.array([count(overlap, percent) for percent in PERCENT.tolist()], np.int64)
    hits, total = counts[:, 0], counts.sum(axis=1)
    # With exactly-one the total may be 0 although there are cells; that scores 0, not 1.
    nothing = 0.0 if len(overlap.truth_areas) + len(overlap.predicted_areas) else 1.0
    precision: NDArray[np.float64] = np.where(total > 0, hits / np.maximum(total, 1), nothing)
    return ImagePrecision(
        n_truths=len(overlap.truth_areas),
        n_predicted=len(overlap.predicted_areas),
        counts=MatchCounts(thresholds=THRESHOLDS, tp=hits, fp=counts[:, 1], fn=counts[:, 2]),
        precision=precision,
        mean=float(precision.mean()),
    )


Counts = tuple[int, int, int]
"""TP, FP, FN at one threshold."""


def _one_to_one(overlap: Overlap, percent: int, *, or_equal: bool = False) -> Counts:
    pairs = passing_pairs(overlap, percent, or_equal=or_equal)
    hits = count_matches(overlap.truth[pairs], overlap.predicted[pairs])
    return hits, len(overlap.predicted_areas) - hits, len(overlap.truth_areas) - hits


def _partners(overlap: Overlap, percent: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the number of partners of each truth and of each prediction."""
    pairs = passing_pairs(overlap, percent)
    of_truth = np.bincount(overlap.truth[pairs], minlength=len(overlap.truth_areas))
    of_predicted = np.bincount(overlap.predicted[pairs], minlength=len(overlap.predicted_areas))
    return of_truth, of_predicted


def _report(overlap: Overlap, percent: int) -> Counts:
    of_truth, of_predicted = _partners(overlap, percent)
    return int((of_predicted > 0).sum()), int((of_predicted == 0).sum()), int((of_truth == 0).sum())


def _at_least_one(overlap: Overlap, percent: int) -> Counts:
    of_truth, of_predicted = _partners(overlap, percent)
    return int((of_truth > 0).sum()), int((of_predicted == 0).sum()), int((of_truth == 0).sum())


def _exactly_one(overlap: Overlap, percent: int) -> Counts:
    of_truth, of_predicted = _partners(overlap, percent)
    hits = int((of_predicted == 1).sum())
    return hits, int((of_predicted == 0).sum()), int((of_truth == 0).sum())


_COUNTERS: dict[str, Callable[[Overlap, int], Counts]] = {
    "competition": _one_to_one,
    "pooled": _one_to_one,
    "report": _report,
    "at-least-one": _at_least_one,
    "exactly-one": _exactly_one,
    "hungarian-ge": partial(_one_to_one, or_equal=True),
}
