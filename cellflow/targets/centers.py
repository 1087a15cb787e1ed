"""Label image in; one row a cell out: where it lies and where its centre is."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.errors import LabelError


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
    """

    labels: NDArray[np.int32]
    values: NDArray[np.int32]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]


def find_cells(labels: NDArray[Any]) -> CellBoxes:
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
    small = _as_int32(labels)
    found = np.zeros((int(small.max(initial=0)) + 1, 5), np.int64)
    found[:, 0] = small.shape[0]
    found[:, 1] = small.shape[1]
    scan_boxes(small, found)
    values = np.flatnonzero(found[:, 4]).astype(np.int32)
    return CellBoxes(small, values, found[values, :4].copy(), found[values, 4].copy())


def _as_int32(labels: NDArray[Any]) -> NDArray[np.int32]:
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise LabelError(f"labels: expected (H, W), found shape {labels.shape}")
    if labels.dtype.kind not in "iub":
        raise LabelError(f"labels: expected an integer array, found {labels.dtype.name}")
    if labels.dtype.kind == "i" and labels.min(initial=0) < 0:
        raise LabelError(f"labels: expected 0 or more, found {labels.min()}")
    if labels.max(initial=0) > max(labels.size, 2**16):
        values, numbers = np.unique(labels, return_inverse=True)
        first = int(values[0] != 0)
        return np.ascontiguousarray(numbers.reshape(labels.shape) + first, np.int32)
    return np.ascontiguousarray(labels, np.int32)


@njit(cache=True, nogil=True)
def scan_boxes(labels: NDArray[np.int32], found: NDArray[np.int64]) -> None:
    """Widen each cell's row of `found` to what the image holds.

    Cost: one pass over the pixels, one table update a horizontal run.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous
        Between 0 and ``len(found) - 1``.
    found : (max label + 1, 5) int64, changed
        First row (preset to H), first column (preset to W), row after the last, column after the
        last, pixels (all three preset to 0).
    """
    height, width = labels.shape
    for y in range(height):
        row = labels[y]
        x = 0
        while x < width:
            label = row[x]
            start = x
            x += 1
            while x < width and row[x] == label:
                x += 1
            if label != 0:
                cell = found[label]
                cell[0] = min(cell[0], y)
                cell[1] = min(cell[1], start)
                cell[2] = y + 1
                cell[3] = max(cell[3], x)
                cell[4] += x - start
