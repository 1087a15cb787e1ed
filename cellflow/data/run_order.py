"""What the geometry of run lengths says about the order in which they were written."""

import numpy as np
from numpy.typing import NDArray

from cellflow.records import CellMasks

NEAR_A_LINE = 30
"""Two runs begin one row (or column) apart if their distance is within this many pixels of it; in
small images within half of the shorter side, or a distance of 0 would count as a row."""


def direction_votes(masks: CellMasks) -> NDArray[np.int64]:
    """Count the steps between consecutive runs of a cell that look like a row, and like a column.

    Parameters
    ----------
    masks : CellMasks
        Read as row-major, whatever the writer meant.

    Returns
    -------
    (2,) int64
        Row-major and column-major; both 0 when height and width are too close to tell.
    """
    height, width = masks.shape
    near = min(NEAR_A_LINE, (min(height, width) - 1) // 2)
    if abs(height - width) <= 2 * near:
        return np.zeros(2, np.int64)
    within_cell = np.ones(max(len(masks.starts) - 1, 0), bool)
    within_cell[masks.offsets[1:-1] - 1] = False
    steps = np.diff(masks.starts)[within_cell]
    return np.array([(abs(steps - side) <= near).sum() for side in (width, height)])


def border_votes(masks: CellMasks) -> NDArray[np.int64]:
    """Count the runs that stop at the right border, and those that begin there and go on.

    Parameters
    ----------
    masks : CellMasks
        Read as 1-based, whatever the writer meant.

    Returns
    -------
    (2,) int64
        Cells at the right border give the former. If pixels were counted from 0, everything lies
        one pixel too far left: cells at the left border give the latter, and none the former.
    """
    width = masks.shape[1]
    last_column = (masks.starts + masks.lengths) % width == 0
    over_the_end = (masks.starts % width == width - 1) & (masks.lengths > 1)
    return np.array([last_column.sum(), over_the_end.sum()])
