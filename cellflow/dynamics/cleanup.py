"""Cleanup of labels: drops cells that cannot be right, fills holes, renumbers without gaps.

The steps are those of Cellpose 3.1, with one difference. When Cellpose drops small cells, it
assumes that labels have no gaps, although its flow check leaves some, and that the first label is
the background, although there may be none; so it drops valid cells. See
`docs/decisions/0022-small-cells.md`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.targets.centers import CellBoxes
from cellflow.targets.flows import cell_flow_errors


def drop_bad_cells(
    cells: CellBoxes,
    flows: NDArray[np.float32],
    *,
    flow_threshold: float = 0.4,
    min_size: int = 15,
) -> NDArray[np.int32]:
    """Drop small cells and those whose flows do not fit their shape; fill holes.

    Parameters
    ----------
    cells : CellBoxes
        Cells 1…N without gaps, numbered by their first pixel in raster order. Changed in place.
    flows : (2, H, W) float32
        Pixels per step.
    flow_threshold : float
        Largest flow error of a cell that is kept; 0 = no check.
    min_size : int
        Pixels of the smallest cell that is kept, before and after holes are filled.

    Returns
    -------
    (H, W) int32
        ``cells.labels`` itself: cells 1…N without gaps, by first pixel in raster order.

    Notes
    -----
    A hole is a region, of background or other cells, that the cell separates (4-connected) from the
    edge of its bounding box. Holes are filled cell by cell in the order of their numbers; other
    cells in a hole are overwritten, as in Cellpose.
    """
    keep = cells.areas >= min_size
    if flow_threshold > 0:
        errors = cell_flow_errors(cells, flows, keep)
        keep &= errors <= flow_threshold
    cells = keep_cells(cells, keep)
    if fill_holes(cells.labels, cells.boxes, np.flatnonzero(cells.n_gaps), cells.areas):
        renumber(cells.labels, np.concatenate([[True], cells.areas >= min_size]))
    return cells.labels


def keep_cells(cells: CellBoxes, keep: NDArray[np.bool_]) -> CellBoxes:
    """Drop cells, in place, and close the gaps in their numbers.

    Parameters
    ----------
    cells : CellBoxes
        Cells 1…N.
    keep : (N,) bool
    """
    if keep.all():
        return cells
    close_gaps(cells.labels, cells.boxes, keep)
    _, values, boxes, areas, n_gaps = cells
    n_kept = int(np.count_nonzero(keep))
    return CellBoxes(cells.labels, values[:n_kept], boxes[keep], areas[keep], n_gaps[keep])


@njit(cache=True, nogil=True)
def close_gaps(
    labels: NDArray[np.int32], boxes: NDArray[np.int64], keep: NDArray[np.bool_]
) -> None:
    """Write 0 where dropped cells were, and close the gaps that they leave in the numbers.

    Cost: one pass, vectorised, over the box of every cell from the first dropped one on.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous, changed
        Cells 1…N.
    boxes : (N, 4) int64
        See `CellBoxes`.
    keep : (N,) bool

    Notes
    -----
    Cells cannot be mixed up: a new number is at most the old one, and the cell that had it before
    has already been renumbered or dropped.
    """
    n = 0
    for k in range(keep.size):
        n += keep[k]
        old, new = np.int32(k + 1), np.int32(n if keep[k] else 0)
        if old == new:
            continue
        for y in range(boxes[k, 0], boxes[k, 2]):
            row = labels[y, boxes[k, 1] : boxes[k, 3]]
            for x in range(row.size):
                row[x] = new if row[x] == old else row[x]


@njit(cache=True, nogil=True)
def renumber(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> None:
    """Drop cells and number the others by their first pixel in raster order, in place.

    Cost: one pass over the image.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous, changed
    keep : (max label + 1,) bool
        By label; the entry of label 0 is ignored.
    """
    numbers = np.zeros(keep.size, np.int32)
    n = 0
    flat = labels.reshape(-1)
    for i in range(flat.size):
        label = flat[i]
        if label > 0:
            if numbers[label] == 0 and keep[label]:
                n += 1
                numbers[label] = n
            flat[i] = numbers[label]


@njit(cache=True, nogil=True)
def fill_holes(
    labels: NDArray[np.int32],
    boxes: NDArray[np.int64],
    chosen: NDArray[np.int64],
    areas: NDArray[np.int64],
) -> bool:
    """Fill the holes of some cells, in the order of their numbers; tell whether a cell lost pixels.

    Cost: at most eight visits of each pixel in the boxes of these cells.

    Parameters
    ----------
    labels : (H, W) int32, changed
        Cells 1…N.
    boxes : (N, 4) int64
        See `CellBoxes`.
    chosen : (M,) int64
        Indices of the cells with a gap in some row, ascending; other cells have no hole.
    areas : (N,) int64, changed
        Pixels of each cell; updated.
    """
    is_overwritten = False
    for k in chosen:
        y0, x0, y1, x1 = boxes[k]
        window = labels[y0:y1, x0:x1]
        outside = _reach_from_edge(window, k + 1)
        for y in range(window.shape[0]):
            for x in range(window.shape[1]):
                other = window[y, x]
                if other != k + 1 and not outside[y, x]:
                    window[y, x] = k + 1
                    areas[k] += 1
                    if other > 0:
                        is_overwritten = True
                        areas[other - 1] -= 1
    return is_overwritten


@njit(cache=True, nogil=True)
def _reach_from_edge(window: NDArray[np.int32], value: int) -> NDArray[np.bool_]:
    """Tell which pixels other than `value` are 4-connected to the window's edge: a flood fill.

    Cost: at most five visits of each pixel.
    """
    height, width = window.shape
    reached = np.zeros((height, width), np.bool_)
    stack = np.empty((height * width, 2), np.int64)
    n = 0
    for y in range(height):
        for x in range(width):
            on_edge = y == 0 or x == 0 or y == height - 1 or x == width - 1
            if on_edge and window[y, x] != value:
                reached[y, x] = True
                stack[n, 0], stack[n, 1] = y, x
                n += 1
    while n > 0:
        n -= 1
        y, x = stack[n]
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            i, j = y + dy, x + dx
            inside = 0 <= i < height and 0 <= j < width
            if inside and not reached[i, j] and window[i, j] != value:
                reached[i, j] = True
                stack[n, 0], stack[n, 1] = i, j
                n += 1
    return reached
