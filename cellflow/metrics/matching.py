"""Matching of truths and predictions at an IoU threshold."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from cellflow.metrics.overlap import Overlap

PERCENT = np.arange(50, 100, 5)
"""The competition's IoU thresholds in percent: integers, so that comparisons are exact."""

THRESHOLDS: NDArray[np.float64] = PERCENT / 100
"""The IoU thresholds as fractions, 0.50 … 0.95."""


def passing_pairs(overlap: Overlap, percent: int, *, or_equal: bool = False) -> NDArray[np.bool_]:
    """Tell which pairs have an IoU above a threshold.

    Parameters
    ----------
    overlap : Overlap
        P pairs.
    percent : int
        Threshold in percent.
    or_equal : bool
        Whether an IoU equal to the threshold passes; in the competition it does not.

    Returns
    -------
    (P,) bool

    Notes
    -----
    Compares ``100 · intersection`` with ``percent · union`` in integers, which is exact.
    """
    left, right = 100 * overlap.intersection, percent * overlap.union
    passes: NDArray[np.bool_] = left >= right if or_equal else left > right
    return passes


def count_matches(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> int:
    """Give the largest number of pairs that can be formed if every cell is used at most once.

    Parameters
    ----------
    truth, predicted : (P,) int64
        The allowed pairs.

    Returns
    -------
    int
        Size of a maximum-cardinality matching.

    Notes
    -----
    Two disjoint predictions cannot both have an IoU above one half with the same truth. So with a
    valid submission every truth has at most one partner, and only predictions may have several,
    where truths overlap. Then the answer is the number of distinct predictions. The general case,
    overlap on both sides, uses scipy's Hopcroft–Karp algorithm.
    """
    if len(truth) == 0:
        return 0
    of_truth, of_predicted = np.bincount(truth), np.bincount(predicted)
    if of_truth.max() == 1:
        return int(np.count_nonzero(of_predicted))
    if of_predicted.max() == 1:
        return int(np.count_nonzero(of_truth))
    shape = (len(of_truth), len(of_predicted))
    graph = csr_array((np.ones(len(truth), bool), (truth, predicted)), shape=shape)
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


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
        Indices of the chosen pairs, ascending; Q is what `count_matches` gives.

    Notes
    -----
    If cells of only one side have several partners, each takes the one with the largest IoU, the
    first among equals. If cells of both sides do, the matching is that of scipy's Hopcroft–Karp
    algorithm: it has the most pairs, but not necessarily those with the largest IoUs.

    Examples
    --------
    >>> assign_matches(np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([0.6, 0.7, 0.9]))
    array([1, 2])
    """
    if len(truth) == 0:
        return np.zeros(0, np.int64)
    n_truths, n_predicted = int(truth.max()) + 1, int(predicted.max()) + 1
    if np.bincount(truth).max() == 1 or np.bincount(predicted).max() == 1:
        several = predicted if np.bincount(truth).max() == 1 else truth
        order = np.lexsort((np.arange(len(iou)), -iou, several))
        first = np.unique(several[order], return_index=True)[1]
        return np.sort(order[first])
    # Indices are stored plus one, since 0 is no entry of a sparse array.
    pairs = csr_array((np.arange(1, len(truth) + 1), (truth, predicted)), (n_truths, n_predicted))
    column = maximum_bipartite_matching(pairs, perm_type="column")
    rows = np.flatnonzero(column >= 0)
    return np.sort(np.asarray(pairs[rows, column[rows]]).ravel().astype(np.int64) - 1)
