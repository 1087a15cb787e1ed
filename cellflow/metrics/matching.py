"""Matching of truths and predictions at an IoU threshold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from cellflow.errors import ConfigError
from cellflow.metrics.overlap import Overlap

PERCENT = np.arange(50, 100, 5)
"""The competition's IoU thresholds in percent: integers, so that comparisons are exact."""

THRESHOLDS: NDArray[np.float64] = PERCENT / 100
"""The IoU thresholds as fractions, 0.50 … 0.95."""


def percent_of(thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Give IoU thresholds in percent, ascending, each once.

    Raises
    ------
    ConfigError
        There is none, or one is not a whole number of percent from 1 to 99.

    Examples
    --------
    >>> percent_of([0.75, 0.5])
    array([50, 75])
    """
    if len(thresholds) == 0:
        raise ConfigError("no IoU threshold is given")
    for threshold in thresholds:
        percent = 100 * threshold
        if not (0.5 < percent < 99.5 and abs(percent - round(percent)) < 1e-6):
            raise ConfigError(
                f"IoU threshold {threshold:g}: expected 0.01 to 0.99 with two decimals at most"
            )
    return np.unique([round(100 * threshold) for threshold in thresholds])


def passing_pairs(
    overlap: Overlap, percent: int | NDArray[np.int64], *, or_equal: bool = False
) -> NDArray[np.bool_]:
    """Tell which pairs have an IoU above a threshold, or above each of several.

    Parameters
    ----------
    overlap : Overlap
        P pairs.
    percent : int, or (T, 1) int64
        Threshold in percent.
    or_equal : bool
        Whether an IoU equal to the threshold passes; in the competition it does not.

    Returns
    -------
    (P,) bool, or (T, P) bool

    Notes
    -----
    Compares ``100 · intersection`` with ``percent · union`` in integers, which is exact.
    """
    left, right = 100 * overlap.intersection, percent * overlap.union
    passes: NDArray[np.bool_] = left >= right if or_equal else left > right
    return passes


def match_pairs(overlap: Overlap, percent: int, *, or_equal: bool = False) -> NDArray[np.int64]:
    """Match the cells of an image one-to-one at a threshold.

    Parameters
    ----------
    overlap : Overlap
        P pairs.
    percent, or_equal : int, bool
        As for `passing_pairs`.

    Returns
    -------
    (Q,) int64
        Indices of the matched pairs, ascending; see `assign_matches`.
    """
    pairs = np.flatnonzero(passing_pairs(overlap, percent, or_equal=or_equal))
    truth, predicted = overlap.truth[pairs], overlap.predicted[pairs]
    iou = overlap.intersection[pairs] / overlap.union[pairs]
    return pairs[assign_matches(truth, predicted, iou)]


def assign_matches(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose as many pairs as possible such that every cell is used at most once.

    Parameters
    ----------
    truth, predicted : (P,) int64
        The allowed pairs.
    iou : (P,) float64
        Of each pair.

    Returns
    -------
    (Q,) int64
        Indices of the chosen pairs, ascending.

    Notes
    -----
    Of all choices with the most pairs, one with the largest sum of IoUs. Two disjoint predictions
    cannot both have an IoU above one half with the same truth. So with a valid submission every
    truth has at most one partner there, and only predictions may have several, where truths
    overlap; each takes the one with the largest IoU, the first among equals. Otherwise the cells
    fall into groups that share no partner. A group in which one cell is the only partner of all
    others is decided in the same way, the rest by linear assignment (scipy's LAPJVsp, for sparse
    graphs).

    Examples
    --------
    >>> assign_matches(np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([0.6, 0.7, 0.9]))
    array([1, 2])
    """
    if len(truth) == 0:
        return np.zeros(0, np.int64)
    of_truth, of_predicted = np.bincount(truth), np.bincount(predicted)
    if of_truth.max() == 1:
        return np.arange(len(truth)) if of_predicted.max() == 1 else _best_of(predicted, iou)
    if of_predicted.max() == 1:
        return _best_of(truth, iou)
    return _assign_groups(truth, predicted, iou)


def _best_of(owner: NDArray[Any], iou: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the pair with the largest IoU of each owner, the first among equals; ascending."""
    best = np.full(int(owner.max(initial=-1)) + 1, -1)
    # Of several values for one place the last one stays.
    order = np.lexsort((-np.arange(len(iou)), iou))
    best[owner[order]] = order
    return np.sort(best[best >= 0])


def _assign_groups(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose among pairs where cells of both sides have several partners, group by group."""
    of_truth, of_predicted = np.bincount(truth), np.bincount(predicted)
    n_cells = len(of_truth) + len(of_predicted)
    # Older scipy cannot read wider numbers in a graph.
    ends = truth.astype(np.int32), (len(of_truth) + predicted).astype(np.int32)
    edges = (np.ones(len(truth)), ends)
    group = connected_components(csr_array(edges, (n_cells, n_cells)), directed=False)[1][truth]
    has_several = np.zeros((2, n_cells), bool)
    has_several[0, group[of_truth[truth] > 1]] = True
    has_several[1, group[of_predicted[predicted] > 1]] = True
    is_simple = ~has_several.all(axis=0)[group]
    simple, order = np.flatnonzero(is_simple), np.argsort(group, kind="stable")
    rest = order[~is_simple[order]]
    bounds = np.flatnonzero(np.diff(group[rest])) + 1
    chosen = [simple[_best_of(group[simple], iou[simple])]]
    chosen += [
        pairs[_assign(truth[pairs], predicted[pairs], iou[pairs])]
        for pairs in np.split(rest, bounds)
        if len(pairs)
    ]
    return np.sort(np.concatenate(chosen))


def _assign(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], iou: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Assign cells that have several partners on both sides; memory grows with the pairs."""
    rows, row = np.unique(truth, return_inverse=True)
    columns, column = np.unique(predicted, return_inverse=True)
    # One column more for each truth, so that it may also stay without a partner.
    alone = np.arange(len(rows))
    places = (
        np.concatenate([row, alone]).astype(np.int32),
        np.concatenate([column, len(columns) + alone]).astype(np.int32),
    )
    # One pair more is worth more than all IoUs together.
    gains = np.concatenate([len(rows) + 1 + iou, np.ones(len(rows))])
    shape = (len(rows), len(columns) + len(rows))
    chosen = min_weight_full_bipartite_matching(csr_array((gains, places), shape), maximize=True)
    number = csr_array((np.arange(1, len(truth) + 1), (row, column)), (len(rows), len(columns)))
    is_pair = chosen[1] < len(columns)
    pairs = np.asarray(number[chosen[0][is_pair], chosen[1][is_pair]]).ravel()
    return np.sort(pairs.astype(np.int64) - 1)
