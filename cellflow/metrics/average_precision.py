"""Average precision of one image as the competition defines it, and its public variants by name.

How it works: find all pairs of cells that share pixels (`overlap`). At each IoU threshold, by
default 0.50, 0.55 … 0.95, keep the pairs above it, and count hits (TP), spurious predictions (FP)
and missed truths (FN). The precision is TP / (TP + FP + FN), the score of the image its mean over
the thresholds.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cellflow.data.flatten import flatten
from cellflow.errors import ConfigError
from cellflow.metrics.matching import PERCENT, assign_matches, passing_pairs, percent_of
from cellflow.metrics.overlap import Cells, Overlap, as_masks, checked_cells, find_overlap
from cellflow.records import ImagePrecision, MatchCounts

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

ONE_TO_ONE: tuple[Variant, ...] = ("competition", "pooled", "hungarian-ge")
"""The variants that match cells in pairs, so that each truth is either TP or FN."""


def above(variant: Variant) -> str:
    """Give the sign between IoU and threshold: ``>``, or ``>=`` in ``hungarian-ge``."""
    return ">=" if variant == "hungarian-ge" else ">"


def require_pairs(variant: Variant, wanted: str) -> None:
    """Check that a variant matches cells one-to-one.

    Raises
    ------
    ConfigError
        It does not. `wanted`, what needs that, begins the message.
    """
    if variant not in ONE_TO_ONE:
        raise ConfigError(
            f"{wanted} needs cells matched one-to-one, which the variant {variant} does not do; "
            f"those that do are {', '.join(ONE_TO_ONE)}"
        )


def average_precision(
    truth: Cells,
    predicted: Cells,
    *,
    variant: Variant = "competition",
    thresholds: Sequence[float] | None = None,
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
    thresholds : sequence of float, optional
        IoU thresholds, whole numbers of percent, in any order; by default the competition's ten,
        0.50, 0.55 … 0.95.

    Returns
    -------
    ImagePrecision
        At the thresholds in ascending order.

    Raises
    ------
    ConfigError
        An unknown variant, or a threshold that is not 0.01, 0.02 … 0.99.
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
    truth, predicted = checked_cells("truth", truth), checked_cells("predicted", predicted)
    if variant == "hungarian-ge":
        truth, predicted = flatten(as_masks(truth)), flatten(as_masks(predicted))
    overlap = find_overlap(truth, predicted)
    percents = PERCENT if thresholds is None else percent_of(thresholds)
    counts = _COUNTERS[variant](overlap, percents)
    total = counts.tp + counts.fp + counts.fn
    # With exactly-one the total may be 0 although there are cells; that scores 0, not 1.
    nothing = 0.0 if len(overlap.truth_areas) + len(overlap.predicted_areas) else 1.0
    precision: NDArray[np.float64] = np.where(total > 0, counts.tp / np.maximum(total, 1), nothing)
    return ImagePrecision(
        n_truths=len(overlap.truth_areas),
        n_predicted=len(overlap.predicted_areas),
        counts=counts,
        precision=precision,
        mean=float(precision.mean()),
    )


def _one_to_one(
    overlap: Overlap, percents: NDArray[np.int64], *, or_equal: bool = False
) -> MatchCounts:
    """Count the pairs of a matching at each of the thresholds, which ascend."""
    passes = passing_pairs(overlap, percents[:, None], or_equal=or_equal)
    # A pair that fails at the lowest threshold fails at all.
    pairs = np.flatnonzero(passes[0])
    truth, predicted = overlap.truth[pairs], overlap.predicted[pairs]
    iou = overlap.intersection[pairs] / overlap.union[pairs]
    passes = passes[:, pairs]
    if len(pairs) == 0 or min(np.bincount(truth).max(), np.bincount(predicted).max()) == 1:
        # Only cells of one side have several partners; the best pair of each is the last to fail.
        best = assign_matches(truth, predicted, iou)
        hits, iou_sum = passes[:, best].sum(axis=1), passes[:, best].astype(np.float64) @ iou[best]
    else:
        hits, iou_sum = np.zeros(len(percents), np.int64), np.zeros(len(percents))
        for row, passing in enumerate(passes):
            ious = iou[passing]
            chosen = assign_matches(truth[passing], predicted[passing], ious)
            hits[row], iou_sum[row] = len(chosen), ious[chosen].sum()
    return MatchCounts(
        thresholds=percents / 100,
        tp=hits,
        fp=len(overlap.predicted_areas) - hits,
        fn=len(overlap.truth_areas) - hits,
        iou_sum=iou_sum,
    )


def _by_partners(
    hits: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
    overlap: Overlap,
    percents: NDArray[np.int64],
) -> MatchCounts:
    """Count by the numbers of partners of each truth and of each prediction."""
    partners = [_partners(overlap, percent) for percent in percents.tolist()]
    return MatchCounts(
        thresholds=percents / 100,
        tp=np.array([hits(*both).sum() for both in partners]),
        fp=np.array([(of_predicted == 0).sum() for _, of_predicted in partners]),
        fn=np.array([(of_truth == 0).sum() for of_truth, _ in partners]),
        iou_sum=np.full(len(percents), np.nan),
    )


def _partners(overlap: Overlap, percent: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the number of partners of each truth and of each prediction."""
    pairs = passing_pairs(overlap, percent)
    of_truth = np.bincount(overlap.truth[pairs], minlength=len(overlap.truth_areas))
    of_predicted = np.bincount(overlap.predicted[pairs], minlength=len(overlap.predicted_areas))
    return of_truth, of_predicted


_COUNTERS: dict[str, Callable[[Overlap, NDArray[np.int64]], MatchCounts]] = {
    "competition": _one_to_one,
    "pooled": _one_to_one,
    "report": partial(_by_partners, lambda of_truth, of_predicted: of_predicted > 0),
    "at-least-one": partial(_by_partners, lambda of_truth, of_predicted: of_truth > 0),
    "exactly-one": partial(_by_partners, lambda of_truth, of_predicted: of_predicted == 1),
    "hungarian-ge": partial(_one_to_one, or_equal=True),
}
