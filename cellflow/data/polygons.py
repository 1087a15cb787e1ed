"""Polygons of (x, y) vertices to pixels, by the rule of the COCO tools.

The only place where x comes before y: COCO files write their vertices so.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.data.coco_rle import Runs
from cellflow.errors import LabelError
from cellflow.records import Shape

FINE_STEPS = 5  # a fifth of a pixel: the grid of the COCO tools
FARTHEST = 1e6  # px; farther vertices are a fault of the file


def polygon_to_runs(vertices: NDArray[np.float64], shape: Shape) -> Runs:
    """Give the pixels inside one polygon as column-major runs.

    Parameters
    ----------
    vertices : (K, 2) float64
        (x, y) in pixels; the upper left corner of the image is (0, 0), the centre of its first
        pixel (0.5, 0.5). The last vertex is joined to the first.
    shape : (H, W)

    Returns
    -------
    starts, ends : (R,) int64
        Empty when no pixel lies inside.

    Raises
    ------
    LabelError
        A vertex that is not finite, or absurdly far outside.

    Notes
    -----
    The rule of the COCO tools, so that the pixels are theirs: vertices are rounded to fifths of
    a pixel and each edge is walked along its longer side; where it passes the middle of a
    column, the pixels below are switched. So inside is even-odd, and what lies outside the image
    is cut off.
    """
    if not (np.isfinite(vertices).all() and (np.abs(vertices) < FARTHEST).all()):
        raise LabelError("a polygon has a vertex that is not finite, or far outside the image")
    # Truncation, as a C cast does it.
    corners = np.trunc(FINE_STEPS * vertices + 0.5).astype(np.int64)
    closed = np.concatenate([corners, corners[:1]])
    spans = np.abs(np.diff(closed[:, 0]))
    switches = np.empty(int((spans // FINE_STEPS + 1).sum()), np.int64)
    n_switches = _walk(closed[:, 0].copy(), closed[:, 1].copy(), shape[0], shape[1], switches)
    switches = np.sort(switches[:n_switches])
    starts, ends = switches[0::2], switches[1::2]
    return starts[ends > starts], ends[ends > starts]


@njit(cache=True, nogil=True)
def _walk(x, y, height, width, switches):  # type: ignore[no-untyped-def]
    """Write the column-major pixels where the polygon's inside begins or ends; give their number.

    `x` and `y` (K + 1,) int64 are the closed outline in fifths of a pixel.
    """
    n_switches = 0
    for edge in range(len(x) - 1):
        x0, x1, y0, y1 = x[edge], x[edge + 1], y[edge], y[edge + 1]
        wide = abs(x1 - x0) >= abs(y1 - y0)
        if (wide and x0 > x1) or (not wide and y0 > y1):
            x0, x1, y0, y1 = x1, x0, y1, y0
        n_steps = x1 - x0 if wide else y1 - y0
        if n_steps == 0:
            continue
        slope = (y1 - y0) / n_steps if wide else (x1 - x0) / n_steps
        previous_u, previous_v = x0, y0
        for step in range(1, n_steps + 1):
            along = int((y0 if wide else x0) + slope * step + 0.5)
            u, v = (x0 + step, along) if wide else (along, y0 + step)
            left = min(u, previous_u)
            # Column c has its middle between the fine columns 5c + 2 and 5c + 3.
            if u != previous_u and left % FINE_STEPS == 2 and 0 <= left < FINE_STEPS * width:
                row = np.ceil((min(v, previous_v) + 0.5) / FINE_STEPS - 0.5)
                row = min(max(row, 0.0), float(height))
                switches[n_switches] = left // FINE_STEPS * height + int(row)
                n_switches += 1
            previous_u, previous_v = u, v
    return n_switches
