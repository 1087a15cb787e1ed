"""Which cells of two sides belong together, cell by cell, for the colours of the viewer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.overlap import find_overlap
from cellflow.records import CellMasks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partners:
    """The match of each cell in one image with N true and M predicted cells.

    Parameters
    ----------
    truth_levels, predicted_levels : (N,), (M,) int64
        Number of thresholds 0.50 … 0.95 at which the cell is a hit; 0 = missed or spurious.
    truth_best, predicted_best : (N,), (M,) int64
        Index of the other side's cell with the largest IoU; -1 if none shares a pixel.
    truth_iou, predicted_iou : (N,), (M,) float64
        The IoU with that cell.
    """

    truth_levels: NDArray[np.int64]
    predicted_levels: NDArray[np.int64]
    truth_best: NDArray[np.int64]
    predicted_best: NDArray[np.int64]
    truth_iou: NDArray[np.float64]
    predicted_iou: NDArray[np.float64]


def find_partners(truth: CellMasks, predicted: CellMasks) -> Partners:
    """Find every cell's best partner, and the number of thresholds at which it is a hit.

    Parameters
    ----------
    truth : CellMasks
        N cells.
    predicted : CellMasks
        M cells.

    Raises
    ------
    LabelError
        The two are for images of different size.

    Notes
    -----
    If the cells of one side do not overlap, as in any valid submission, the cells with a level
    above k are exactly the true positives that the score counts at its k-th threshold. A cell with
    a large IoU can still be missed, if its best partner is matched with another cell.
    """
    cells, overlap = find_cells(truth, predicted), find_overlap(truth, predicted)
    iou = overlap.iou
    best_first = np.lexsort((overlap.predicted, overlap.truth, -iou))
    truth_best, truth_iou = _best(overlap.truth, overlap.predicted, iou, best_first, len(truth))
    predicted_best, predicted_iou = _best(
        overlap.predicted, overlap.truth, iou, best_first, len(predicted)
    )
    return Partners(
        truth_levels=cells.found.sum(axis=0),
        predicted_levels=cells.hits.sum(axis=0),
        truth_best=truth_best,
        predicted_best=predicted_best,
        truth_iou=truth_iou,
        predicted_iou=predicted_iou,
    )


def _best(
    cells: NDArray[np.int64],
    others: NDArray[np.int64],
    iou: NDArray[np.float64],
    best_first: NDArray[np.int64],
    n_cells: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the partner and the IoU of each cell in its first pair of `best_first`."""
    found, first = np.unique(cells[best_first], return_index=True)
    best, largest = np.full(n_cells, -1, np.int64), np.zeros(n_cells)
    best[found] = others[best_first][first]
    largest[found] = iou[best_first][first]
    return best, largest
