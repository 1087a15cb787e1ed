"""The score of one image at every place of the grid; the flows are followed few times.

How it works: a flow threshold, a minimum size and a score threshold only drop whole cells. So the
cells are found once for each diameter and `cellprob_threshold`, and for each boundary shift each
cell gets the number of IoU thresholds that it passes with its best truth. Cells are counted in a
table, indexed by the grid places from which each threshold keeps or drops them. Cumulative sums
along the axes of the table are the numbers of hits and of remaining cells at every combination.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.dynamics.boundary import shift_boundaries
from cellflow.dynamics.candidates import find_candidates
from cellflow.dynamics.cell_features import CellFeatures
from cellflow.inference.confidence import Confidence
from cellflow.metrics.matching import PERCENT
from cellflow.metrics.overlap import find_overlap
from cellflow.records import CellMasks, FlowField
from cellflow.tuning.grid import Grid

N_THRESHOLDS = len(PERCENT)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Following:
    """The cells of one image at one diameter and `cellprob_threshold`.

    Parameters
    ----------
    diameter : float
        Diameter assumed for the image, pixels.
    flow_errors : (N,) float64
    sizes : (N,) int64
        Pixels.
    features : CellFeatures
    n_passed : (S, N) int8
        For each of S boundary shifts, the number of IoU thresholds that each cell passes with its
        best truth, 0 to 10.
    """

    diameter: float
    flow_errors: NDArray[np.float64]
    sizes: NDArray[np.int64]
    features: CellFeatures
    n_passed: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageCells:
    """All cells of one image that some place of the grid may give.

    Parameters
    ----------
    n_truths : int
    followings : tuple of tuple of Following
        For each diameter factor and `cellprob_threshold`.
    """

    n_truths: int
    followings: tuple[tuple[Following, ...], ...]


def list_cells(
    field: FlowField,
    truth: CellMasks,
    grid: Grid,
    *,
    n_steps: int,
    tolerance: float,
    diameter: float,
) -> tuple[Following, ...]:
    """Find the cells of a flow field at every `cellprob_threshold` of the grid.

    Parameters
    ----------
    field : FlowField
    truth : CellMasks
    grid : Grid
    n_steps, tolerance
        See `flows_to_labels`.
    diameter : float
        Diameter assumed for the image, pixels.

    Notes
    -----
    Boundaries are shifted while all candidates are present. So cells that a threshold drops later
    may have kept their neighbours from growing; in prediction they are dropped first.
    """
    followings = []
    for threshold in grid.cellprob_threshold:
        found = find_candidates(
            field,
            cellprob_threshold=threshold,
            min_size=min(grid.min_size),
            n_steps=n_steps,
            tolerance=tolerance,
        )
        passed = [
            count_passed(truth, shift_boundaries(found.labels, field.cellprob, shift))
            for shift in grid.boundary_shift
        ]
        followings.append(
            Following(
                diameter=diameter,
                flow_errors=found.flow_errors,
                sizes=found.sizes,
                features=found.features,
                n_passed=np.stack(passed),
            )
        )
    return tuple(followings)


def count_passed(truth: CellMasks, labels: NDArray[np.int32]) -> NDArray[np.int8]:
    """Count the IoU thresholds, of ten, that each cell passes with its best truth.

    Parameters
    ----------
    truth : CellMasks
    labels : (H, W) int32
        Cells 1…N without gaps.

    Returns
    -------
    (N,) int8
        0 to 10. Cells do not overlap, so at any threshold a truth passes with at most one cell.
        Hence a cell with number n is a hit at exactly the first n thresholds.
    """
    overlap = find_overlap(truth, labels)
    passes = 100 * overlap.intersection[:, None] > PERCENT * overlap.union[:, None]
    best = np.zeros(int(labels.max(initial=0)), np.int8)
    np.maximum.at(best, overlap.predicted, passes.sum(axis=1).astype(np.int8))
    return best


def score_grid(cells: ImageCells, grid: Grid, confidence: Confidence | None) -> NDArray[np.float32]:
    """Give the competition's score of the image at every place of the grid.

    Parameters
    ----------
    cells : ImageCells
    grid : Grid
    confidence : Confidence or None
        Calibration of the cells' scores; None = uncalibrated.

    Returns
    -------
    grid.shape float32
    """
    scores = np.empty(grid.shape, np.float32)
    for d, row in enumerate(cells.followings):
        for c, following in enumerate(row):
            confidences = confidence_of(following, confidence)
            for s in range(len(grid.boundary_shift)):
                scores[d, c, s] = _score_filters(
                    following, confidences, following.n_passed[s], cells.n_truths, grid
                )
    return scores


def confidence_of(following: Following, confidence: Confidence | None) -> NDArray[np.float32]:
    """Give the confidence of each cell, (N,) float32."""
    if confidence is None:
        return following.features.scores.astype(np.float32)
    return confidence(following.features, following.diameter)


def _score_filters(
    following: Following,
    confidences: NDArray[np.float32],
    n_passed: NDArray[np.int8],
    n_truths: int,
    grid: Grid,
) -> NDArray[np.float32]:
    """Give the scores of one set of cells, (flow thresholds, minimum sizes, score thresholds)."""
    checks = np.array([f if f > 0 else np.inf for f in grid.flow_threshold])
    sizes, levels = np.array(grid.min_size), np.array(grid.score_threshold, np.float32)
    # For each cell: the first check, the last size and the last level that keep it.
    check = np.searchsorted(checks, following.flow_errors, side="left")
    size = np.searchsorted(sizes, following.sizes, side="right") - 1
    level = np.searchsorted(levels, confidences, side="right") - 1
    is_ever = (check < len(checks)) & (size >= 0) & (level >= 0)
    table = np.zeros((len(checks), len(sizes), len(levels), N_THRESHOLDS + 1), np.int64)
    np.add.at(table, (check[is_ever], size[is_ever], level[is_ever], n_passed[is_ever]), 1)
    table = table.cumsum(axis=0)[:, ::-1].cumsum(axis=1)[:, ::-1]
    table = table[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    left = table.sum(axis=-1)
    # Hits at the k-th threshold: the cells that pass more than k.
    hits = table[..., ::-1].cumsum(axis=-1)[..., ::-1][..., 1:]
    total = left[..., None] + n_truths - hits
    nothing = 1.0 if n_truths == 0 else 0.0
    precision = np.where(total > 0, hits / np.maximum(total, 1), nothing)
    scores: NDArray[np.float32] = precision.mean(axis=-1).astype(np.float32)
    return scores
