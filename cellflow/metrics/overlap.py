"""Which cells of two sets share pixels, and how many: sparse, directly from run lengths."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.data.rle import labels_to_masks
from cellflow.errors import LabelError
from cellflow.metrics.label_pairs import pair_labels
from cellflow.records import CellMasks

Cells = CellMasks | NDArray[Any]
"""`CellMasks`, which may overlap, or a label image (H, W) of integers, 0 = background."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlap:
    """The pairs of cells that share at least one pixel.

    Parameters
    ----------
    truth, predicted : (P,) int64
        Indices of the two cells of each pair, sorted by truth.
    intersection : (P,) int64
        Pixels that both cells cover.
    union : (P,) int64
        Pixels that at least one of the two cells covers.
    truth_areas : (N,) int64
    predicted_areas : (M,) int64
        Pixels of all cells, with or without a partner.
    """

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    intersection: NDArray[np.int64]
    union: NDArray[np.int64]
    truth_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, (P,) float64."""
        iou: NDArray[np.float64] = self.intersection / self.union
        return iou


def as_masks(cells: Cells) -> CellMasks:
    """Give `cells` as masks; a label image gives one mask per label, in ascending order."""
    return cells if isinstance(cells, CellMasks) else labels_to_masks(cells)


def checked_cells(side: str, cells: Cells) -> Cells:
    """Give masks as they are and arrays without what a subclass of them adds; `side` names them.

    Raises
    ------
    LabelError
        They are neither.
    """
    if not isinstance(cells, CellMasks | np.ndarray):
        raise LabelError(
            f"{side}: expected CellMasks or the label image of one image as an (H, W) array, "
            f"found {type(cells).__name__}"
        )
    return cells if isinstance(cells, CellMasks) else np.asarray(cells)


def find_overlap(truth: Cells, predicted: Cells) -> Overlap:
    """Find all pairs of cells that share pixels.

    Parameters
    ----------
    truth, predicted : CellMasks, or (H, W) label image
        Cells of one side may overlap each other.

    Raises
    ------
    LabelError
        The two are for images of different size.

    Notes
    -----
    Two label images take one pass over the pixels. Otherwise, for every run of `truth`, the runs of
    `predicted` around it are found by bisection. Memory grows with the runs and the pairs, not with
    N · M; no dense stack of masks is built.
    """
    if truth.shape != predicted.shape and len(truth.shape) == len(predicted.shape) == 2:
        raise LabelError(
            f"truth is for a {truth.shape[0]}x{truth.shape[1]} image, "
            f"the prediction for {predicted.shape[0]}x{predicted.shape[1]}"
        )
    truth_labels, predicted_labels = _small_labels(truth), _small_labels(predicted)
    if truth_labels is not None and predicted_labels is not None:
        return _of_labels(truth_labels, predicted_labels)
    return _of_masks(as_masks(truth), as_masks(predicted))


FlatLabels = tuple[NDArray[np.int32], int]
"""The pixels of a label image, and its largest label."""


def _small_labels(cells: Cells) -> FlatLabels | None:
    """Give the pixels and largest label of a label image, or None if it needs the general path.

    Notes
    -----
    None for masks, for arrays that are not label images, and if the largest label exceeds the
    number of pixels, since a table by label would be too long. One pass finds the largest label and
    negative numbers: read as unsigned, these are larger than the type's maximum. That does not work
    with a foreign byte order.
    """
    if isinstance(cells, CellMasks) or cells.ndim != 2 or cells.dtype.kind not in "iub":
        return None
    if cells.dtype == bool:
        largest, limit = int(cells.max(initial=False)), 1
    elif cells.dtype.isnative:
        largest = int(cells.view(f"u{cells.dtype.itemsize}").max(initial=0))
        limit = int(np.iinfo(cells.dtype).max)
    else:
        return None
    if largest > min(cells.size, limit):
        return None
    return np.ascontiguousarray(cells, np.int32).reshape(-1), largest


def _of_labels(truth: FlatLabels, predicted: FlatLabels) -> Overlap:
    """Find the pairs of two label images; cells are indexed by ascending label, without gaps."""
    (first, second, shared), *all_areas = pair_labels(*truth, *predicted)
    cell_of = [np.cumsum(areas > 0) - 1 for areas in all_areas]
    return _overlap(
        cell_of[0][first], cell_of[1][second], shared, *(areas[areas > 0] for areas in all_areas)
    )


def _of_masks(truth: CellMasks, predicted: CellMasks) -> Overlap:
    order = np.argsort(predicted.starts, kind="stable")
    owner = np.repeat(np.arange(len(predicted)), np.diff(predicted.offsets))[order]
    starts = predicted.starts[order]
    ends = starts + predicted.lengths[order]
    first, second, shared = _join_runs(
        truth.starts,
        truth.lengths,
        truth.offsets,
        starts,
        ends,
        np.maximum.accumulate(ends),
        owner,
        len(predicted),
    )
    return _overlap(first, second, shared, truth.areas, predicted.areas)


def _overlap(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    shared: NDArray[np.int64],
    truth_areas: NDArray[np.int64],
    predicted_areas: NDArray[np.int64],
) -> Overlap:
    return Overlap(
        truth=truth,
        predicted=predicted,
        intersection=shared,
        union=truth_areas[truth] + predicted_areas[predicted] - shared,
        truth_areas=truth_areas,
        predicted_areas=predicted_areas,
    )


@njit(cache=True, nogil=True)
def _join_runs(  # type: ignore[no-untyped-def]
    truth_starts, truth_lengths, truth_offsets, starts, ends, furthest, owner, n_predicted
):
    """Sum the shared pixels of every pair; `furthest[j]` is the largest end of the runs 0 to j.

    Cost: one bisection per run of the truth, and one visit of each run that overlaps it. Memory:
    linear in cells and pairs.

    The runs of the prediction are sorted by start. Those before the first one with
    ``furthest > start`` end before the truth run, those that start at its end or later are behind
    it.
    """
    n_pairs, capacity = 0, 2 * (len(truth_offsets) + n_predicted)
    pairs = np.empty((3, capacity), np.int64)
    shared = np.zeros(n_predicted, np.int64)
    touched = np.empty(n_predicted, np.int64)
    for cell in range(len(truth_offsets) - 1):
        n_touched = 0
        for run in range(truth_offsets[cell], truth_offsets[cell + 1]):
            start = truth_starts[run]
            end = start + truth_lengths[run]
            at = np.searchsorted(furthest, start, side="right")
            while at < len(starts) and starts[at] < end:
                overlap = min(end, ends[at]) - max(start, starts[at])
                if overlap > 0:
                    other = owner[at]
                    if shared[other] == 0:
                        touched[n_touched] = other
                        n_touched += 1
                    shared[other] += overlap
                at += 1
        if n_pairs + n_touched > capacity:
            capacity = 2 * (n_pairs + n_touched)
            grown = np.empty((3, capacity), np.int64)
            grown[:, :n_pairs] = pairs[:, :n_pairs]
            pairs = grown
        for index in range(n_touched):
            other = touched[index]
            pairs[0, n_pairs] = cell
            pairs[1, n_pairs] = other
            pairs[2, n_pairs] = shared[other]
            shared[other] = 0
            n_pairs += 1
    return pairs[0, :n_pairs].copy(), pairs[1, :n_pairs].copy(), pairs[2, :n_pairs].copy()
