"""Paste small masks of boxes into an image, directly as run lengths, without dense masks.

Each pixel whose centre lies in the box samples the small mask there, bilinearly. Nothing is rounded
to whole pixels, unlike in torchvision's own pasting: a shift of one pixel costs a third of the
score.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.records import CellMasks, Shape


def paste_masks(
    masks: NDArray[np.float32], boxes: NDArray[np.float32], shape: Shape, threshold: float
) -> tuple[CellMasks, NDArray[np.int64]]:
    """Convert a detector's boxes and masks to cells.

    Parameters
    ----------
    masks : (N, M, M) float32
        Probabilities; each mask covers its whole box.
    boxes : (N, 4) float32
        Corners (x1, y1, x2, y2) in image pixels, with the centre of pixel 0 at 0.
    shape : (H, W)
        Of the image.
    threshold : float
        Probability from which on a pixel belongs to the cell.

    Returns
    -------
    CellMasks
        Cells that may overlap.
    (K,) int64
        Index of each cell among the N; cells without pixels are left out.

    Notes
    -----
    Near the border of a box the mask has the value of its outermost samples, so a cell may reach
    the border.
    """
    height, width = shape
    starts, lengths, counts = [], [], np.zeros(len(boxes), np.int64)
    for cell in range(len(boxes)):
        rows = max(0.0, float(boxes[cell, 3]) - float(boxes[cell, 1])) + 2
        columns = max(0.0, float(boxes[cell, 2]) - float(boxes[cell, 0])) + 2
        most = int(min(rows, height) * (min(columns, width) // 2 + 1)) + 1
        found = np.empty((2, most), np.int64)
        counts[cell] = n = _paste(masks[cell], boxes[cell], height, width, threshold, found)
        starts.append(found[0, :n])
        lengths.append(found[1, :n])
    kept = np.flatnonzero(counts)
    pasted = CellMasks(
        starts=np.concatenate([np.zeros(0, np.int64), *starts]),
        lengths=np.concatenate([np.zeros(0, np.int64), *lengths]).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts[kept])]).astype(np.int64),
        shape=shape,
    )
    return pasted, kept


@njit(cache=True, nogil=True)
def _paste(mask: Any, box: Any, height: int, width: int, threshold: float, found: Any) -> int:
    """Write the starts and lengths of a cell's runs into `found` (2, R); give their number."""
    n_runs, side = 0, mask.shape[0]
    left, top, right, bottom = box
    if right <= left or bottom <= top:
        return 0
    for row in range(max(0, int(np.ceil(top))), min(height - 1, int(np.floor(bottom))) + 1):
        y = min(max((row - top) / (bottom - top) * side - 0.5, 0.0), side - 1.0)
        up = min(int(y), side - 2)
        share_y = y - up
        for column in range(max(0, int(np.ceil(left))), min(width - 1, int(np.floor(right))) + 1):
            x = min(max((column - left) / (right - left) * side - 0.5, 0.0), side - 1.0)
            west = min(int(x), side - 2)
            share_x = x - west
            above = (1 - share_x) * mask[up, west] + share_x * mask[up, west + 1]
            below = (1 - share_x) * mask[up + 1, west] + share_x * mask[up + 1, west + 1]
            if (1 - share_y) * above + share_y * below >= threshold:
                pixel = row * width + column
                # A run may continue from the end of a row into the next one.
                if n_runs > 0 and found[0, n_runs - 1] + found[1, n_runs - 1] == pixel:
                    found[1, n_runs - 1] += 1
                else:
                    found[0, n_runs], found[1, n_runs] = pixel, 1
                    n_runs += 1
    return n_runs
