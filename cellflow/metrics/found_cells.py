"""Which true cells are found, and which predicted cells are hits, at every IoU threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.metrics.matching import PERCENT, match_pairs
from cellflow.metrics.overlap import Cells, find_overlap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundCells:
    """The matches of one image, cell by cell, at the T thresholds 0.50, 0.55 … 0.95.

    Parameters
    ----------
    found : (T, N) bool
        Whether each true cell is matched with IoU above the threshold.
    hits : (T, M) bool
        Whether each predicted cell is.
    truth_areas : (N,) int64
    predicted_areas : (M,) int64
        Pixels.
    """

    found: NDArray[np.bool_]
    hits: NDArray[np.bool_]
    truth_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]

    @property
    def precision(self) -> NDArray[np.float64]:
        """The competition's TP / (TP + FP + FN) at each threshold, (T,); 1 without any cell."""
        n_hits = self.found.sum(axis=1)
        total = self.found.shape[1] + self.hits.shape[1] - n_hits
        precision: NDArray[np.float64] = np.where(total > 0, n_hits / np.maximum(total, 1), 1.0)
        return precision


def find_cells(truth: Cells, predicted: Cells) -> FoundCells:
    """Match the cells of an image one-to-one by the competition's rule.

    Parameters
    ----------
    truth, predicted : CellMasks, or (H, W) label image

    Raises
    ------
    LabelError
        The two are for images of different size, or are not valid labels.

    Notes
    -----
    At each threshold as many cells as possible are matched, so the counts are those of
    `average_precision`. See `assign_matches` for which of several possible matchings is taken.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0, 2]])
    >>> find_cells(truth, np.array([[1, 1, 0, 0, 0]])).found[:5]
    array([[ True, False],
           [ True, False],
           [ True, False],
           [ True, False],
           [False, False]])
    """
    overlap = find_overlap(truth, predicted)
    found = np.zeros((len(PERCENT), len(overlap.truth_areas)), bool)
    hits = np.zeros((len(PERCENT), len(overlap.predicted_areas)), bool)
    for row, percent in enumerate(PERCENT.tolist()):
        chosen = match_pairs(overlap, percent)
        found[row, overlap.truth[chosen]] = True
        hits[row, overlap.predicted[chosen]] = True
    return FoundCells(
        found=found,
        hits=hits,
        truth_areas=overlap.truth_areas,
        predicted_areas=overlap.predicted_areas,
    )
