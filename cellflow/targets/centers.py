"""Label image in; one row a cell out: where it lies and where its centre is."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.errors import LabelError

STRETCH = 64
"""Pixels of background that are passed at once."""


class CellBoxes(NamedTuple):
    """The cells of one label image, by ascending label.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous
        0 background; the label image that `values` and `boxes` are about.
    values : (N,) int32
        The label of each cell.
    boxes : (N, 4) int64
        First row, first column, row after the last, column after the last.
    areas : (N,) int64
        Pixels.
    n_gaps : (N,) int64
        Runs of pixels beyond the first of their row; a cell without any has no hole.
    """

    labels: NDArray[np.int32]
    values: NDArray[np.int32]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    n_gaps: NDArray[np.int64]


def find_boxes(labels: NDArray[Any]) -> CellBoxes:
    """Give the bounding box and the area of every cell.

    Parameters
    ----------
    labels : (H, W) integer or bool
        0 background; gaps between the labels are allowed. Any memory layout.

    Raises
    ------
    LabelError
        The array is not 2-D, not of integers, or holds a negative label.

    Notes
    -----
    When a label exceeds the number of pixels, and would need a table larger than the image, the
    cells are numbered 1…N by ascending label first; `CellBoxes.labels` then holds these numbers.
    """
    small, largest = _as_int32(labels)
    found = np.zeros((largest + 1, 6), np.int64)
    found[:, 0] = small.shape[0]
    found[:, 1] = small.shape[1]
    scan_boxes(small, found)
    values = np.flatnonzero(found[:, 4]).astype(np.int32)
    return cells_of_table(small, values, found[values])


def cells_of_table(
    labels: NDArray[np.int32], values: NDArray[np.int32], table: NDArray[np.int64]
) -> CellBoxes:
    """Give `CellBoxes` of a table with six columns: box, pixels, gaps."""
    boxes = np.ascontiguousarray(table[:, :4])
    return CellBoxes(labels, values, boxes, table[:, 4].copy(), table[:, 5].copy())


def _as_int32(labels: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Give the labels, and the largest."""
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise LabelError(f"labels: expected (H, W), found shape {labels.shape}")
    if labels.dtype.kind not in "iub":
        raise LabelError(f"labels: expected an integer array, found {labels.dtype.name}")
    # One pass: read as unsigned, a negative number is larger than its own type holds.
    largest = int(labels.view(labels.dtype.str.replace("i", "u")).max(initial=0))
    if labels.dtype.kind == "i" and largest > np.iinfo(labels.dtype).max:
        raise LabelError(f"labels: expected 0 or more, found {labels.min()}")
    if largest <= max(labels.size, 2**16):
        return np.ascontiguousarray(labels, np.int32), largest
    values, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + int(values[0] != 0)
    return np.ascontiguousarray(numbers, np.int32), int(numbers.max())


@njit(cache=True, nogil=True)
def scan_boxes(labels: NDArray[np.int32], found: NDArray[np.int64]) -> None:
    """Widen each cell's row of `found` to what the image holds.

    Cost: one pass over the pixels, vectorised where there is only background; one table update a
    run of equal pixels in a row.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous
        Between 0 and ``len(found) - 1``.
    found : (max label + 1, 6) int64, changed
        First row (preset to H), first column (preset to W), row after the last, column after the
        last, pixels, runs beyond the first of their row (all four preset to 0).
    """
    height, width = labels.shape
    for y in range(height):
        row, last = labels[y], 0
        while last < width:
            first, label = last, row[last]
            if label == 0 and is_background(row, last):
                last += STRETCH
                continue
            while last < width and row[last] == label:
                last += 1
            if label != 0:
                cell = found[np.uint64(label)]
                cell[5] += cell[2] == y + 1
                cell[0], cell[1] = min(cell[0], y), min(cell[1], first)
                cell[2], cell[3] = y + 1, max(cell[3], last)
                cell[4] += last - first


@njit(cache=True, nogil=True)
def is_background(row: NDArray[np.int32], first: int) -> bool:
    """Tell whether a whole stretch of the row, from `first` on, is 0."""
    if first + STRETCH > row.size:
        return False
    stretch, seen = row[first : first + STRETCH], np.int32(0)
    for x in range(STRETCH):
        seen |= stretch[x]
    return bool(seen == 0)
