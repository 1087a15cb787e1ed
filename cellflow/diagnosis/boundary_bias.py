"""How far predicted boundaries lie outside the true ones: a bias that one number can correct."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from cellflow.interval import Interval
from cellflow.metrics.bootstrap import (
    N_DRAWS,
    Labels,
    degrees_of_freedom,
    interval_of,
    resampled_sums,
)
from cellflow.metrics.cell_errors import find_cell_errors
from cellflow.metrics.overlap import Cells, as_masks
from cellflow.records import CellMasks


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryBias:
    """Boundary bias of several images.

    Parameters
    ----------
    n_cells : int
        Number of found cells, whose boundaries were compared.
    offset : Interval
        Mean over cells, pixels: positive = predictions are too large.
    spread : float
        Standard deviation over cells, pixels, which no shift can correct.
    """

    n_cells: int
    offset: Interval
    spread: float


def boundary_offsets(truth: Cells, predicted: Cells) -> NDArray[np.float64]:
    """Give the mean signed distance between the two boundaries of each found cell.

    Parameters
    ----------
    truth, predicted : CellMasks, or (H, W) label image

    Returns
    -------
    (K,) float64
        Pixels, for every pair with an IoU above one half; positive = the prediction is larger.

    Raises
    ------
    LabelError
        The two are for images of different size, or are not valid labels.

    Notes
    -----
    The boundary runs along the outer edges of a cell's outermost pixels. The result is the average
    of two means: the distance of predicted boundary pixels from the true boundary, and that of true
    ones from the predicted boundary. At oblique edges it is up to a tenth too small. The border of
    the image is not a boundary.

    Examples
    --------
    >>> truth, grown = np.zeros((2, 12, 12), int)
    >>> truth[3:9, 3:9], grown[2:10, 2:10] = 1, 1
    >>> boundary_offsets(truth, truth), boundary_offsets(truth, grown).round(1)
    (array([0.]), array([1.]))
    """
    truth, predicted = as_masks(truth), as_masks(predicted)
    errors = find_cell_errors(truth, predicted)
    found = np.flatnonzero(errors.truth_kinds == "found")
    offsets = [_offset(truth, int(t), predicted, int(errors.partners[t])) for t in found]
    return np.array(offsets, np.float64)


def summarize_offsets(
    offsets: Sequence[NDArray[np.float64]],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
) -> BoundaryBias:
    """Average the offsets over the cells of several images, with a bootstrap over images.

    Parameters
    ----------
    offsets : sequence of (K,) float64
        One array per image, from `boundary_offsets`.
    rng, strata, clusters, n_draws
        See `mean_interval`.

    Notes
    -----
    Without any found cell the numbers are NaN.
    """
    together = np.concatenate([np.zeros(0), *offsets])
    if len(together) == 0:
        nothing = Interval(estimate=float("nan"), low=float("nan"), high=float("nan"))
        return BoundaryBias(n_cells=0, offset=nothing, spread=float("nan"))
    rows = np.array([[one.sum() for one in offsets], [len(one) for one in offsets]], np.float64)
    sums = resampled_sums(rows, rng=rng, strata=strata, clusters=clusters, n_draws=n_draws)
    mean = float(together.mean())
    draws = np.where(sums[1] > 0, sums[0] / np.maximum(sums[1], 1), np.nan)
    freedom = degrees_of_freedom(rows[0] - mean * rows[1], strata, clusters)
    return BoundaryBias(
        n_cells=len(together),
        offset=interval_of(mean, draws, freedom),
        spread=float(together.std()),
    )


def _offset(truth: CellMasks, t: int, predicted: CellMasks, p: int) -> float:
    """Give the mean signed distance between the boundaries of two cells."""
    runs = [_runs(truth, t), _runs(predicted, p)]
    height, width = truth.shape
    rows = np.concatenate([np.concatenate([s // width, (s + n - 1) // width]) for s, n in runs])
    top, bottom = max(0, rows.min() - 1), min(height, rows.max() + 2)
    both = np.zeros((2, (bottom - top) * width), np.bool_)
    for mask, (starts, lengths) in zip(both, runs, strict=True):
        for start, length in zip(starts - top * width, lengths, strict=True):
            mask[start : start + length] = True
    first, second = both.reshape(2, bottom - top, width)
    columns = np.flatnonzero((first | second).any(axis=0))
    window = slice(max(0, columns[0] - 1), columns[-1] + 2)
    first, second = first[:, window], second[:, window]
    return (_outside(first, second) - _outside(second, first)) / 2


def _runs(masks: CellMasks, cell: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    own = slice(masks.offsets[cell], masks.offsets[cell + 1])
    return masks.starts[own], masks.lengths[own]


def _outside(reference: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Give how far the boundary of `other` lies outside that of `reference`, on average."""
    rim = other & ~binary_erosion(other, border_value=1)
    if not rim.any():
        # The cell fills the image.
        return 0.0
    beyond = distance_transform_edt(~reference)
    within = distance_transform_edt(reference) if not reference.all() else np.full(rim.shape, 0.5)
    signed = np.where(reference, 0.5 - within, beyond - 0.5)
    return float(signed[rim].mean() + 0.5)
