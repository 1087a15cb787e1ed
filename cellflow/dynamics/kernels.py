"""Following the flow: the kernels. They check nothing; `follow` states what they may be given.

One step moves a point by the flow at its place: bilinear between the four pixels around it, integer
coordinates are pixel centres, and the point is clamped to the image. The path of a point is a
function of its two float32 coordinates alone, so a point that comes back to where it was is on a
cycle and its end is known.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 128
"""Points followed side by side: enough to hide the latency of the loads, few enough for L1."""
STRIDE = 8
"""Steps between two looks at which points are done; cycles of 1, 2, 4 and 8 steps are seen."""


@njit(cache=True, nogil=True)
def gather_field(
    flows: NDArray[np.float32],
    cellprob: NDArray[np.float32],
    threshold: float,
    first_row: int,
    field: NDArray[np.float32],
    counts: NDArray[np.int64],
) -> None:
    """Interleave the flows of some rows, 0 where there is no cell, and count the cell pixels.

    Parameters
    ----------
    flows : (2, H, W) float32
    cellprob : (H, W) float32
    threshold : float
        A pixel belongs to a cell where `cellprob` is above; NaN is not above.
    first_row : int
        The last row is ``first_row + len(counts)``, exclusive.
    field : (H + 1, W + 1, 2) float32, written in these rows
        The last row and column are 0 and stay so.
    counts : (rows, 2) int64, written
        Cell pixels, and cell pixels whose flow is not finite, of each row.
    """
    width = cellprob.shape[1]
    for k in range(counts.shape[0]):
        y = first_row + k
        prob, dy, dx, out = cellprob[y], flows[0, y], flows[1, y], field[y]
        n, n_bad = 0, 0
        for x in range(width):
            if prob[x] > threshold:
                out[x, 0] = dy[x]
                out[x, 1] = dx[x]
                n += 1
                if not (np.isfinite(dy[x]) and np.isfinite(dx[x])):
                    n_bad += 1
            else:
                out[x, 0] = 0.0
                out[x, 1] = 0.0
        counts[k, 0] = n
        counts[k, 1] = n_bad


@njit(cache=True, nogil=True)
def list_pixels(
    cellprob: NDArray[np.float32],
    threshold: float,
    first_row: int,
    n_rows: int,
    pixels: NDArray[np.int32],
) -> None:
    """Write row and column of the cell pixels of some rows, in raster order.

    Parameters
    ----------
    cellprob, threshold, first_row
        See `gather_field`.
    n_rows : int
    pixels : (2, P) int32, written
        ``P`` is the number of cell pixels of these rows.
    """
    n = 0
    for y in range(first_row, first_row + n_rows):
        prob = cellprob[y]
        for x in range(prob.size):
            if prob[x] > threshold:
                pixels[0, n] = y
                pixels[1, n] = x
                n += 1


@njit(cache=True, nogil=True)
def step_exactly(
    field: NDArray[np.float32],
    width: int,
    y_max: np.float32,
    x_max: np.float32,
    y: NDArray[np.float32],
    x: NDArray[np.float32],
) -> None:
    """Move the points one step, in the very arithmetic of Cellpose 3.1: float64 weights.

    Parameters
    ----------
    field : ((H + 1) * width * 2,) float32
    width : int
        Of a row of the field, W + 1.
    y_max, x_max : float32
        H - 1 and W - 1.
    y, x : (n,) float32, changed
        Between 0 and `y_max`, `x_max`.
    """
    one = np.float64(1)
    for j in range(y.size):
        row, column = np.int32(y[j]), np.int32(x[j])
        fy, fx = y[j] - np.float32(row), x[j] - np.float32(column)
        gy, gx = one - fy, one - fx
        here = np.uint64(2) * (np.uint64(row) * np.uint64(width) + np.uint64(column))
        under = here + np.uint64(2 * width)
        # Cellpose's mixture: what touches 1 - f is float64, f alone stays float32.
        dy = (
            field[here] * gy * gx
            + field[here + np.uint64(2)] * gy * fx
            + field[under] * fy * gx
            + field[under + np.uint64(2)] * fy * fx
        )
        dx = (
            field[here + np.uint64(1)] * gy * gx
            + field[here + np.uint64(3)] * gy * fx
            + field[under + np.uint64(1)] * fy * gx
            + field[under + np.uint64(3)] * fy * fx
        )
        y[j] = min(y_max, max(np.float32(0), y[j] + np.float32(dy)))
        x[j] = min(x_max, max(np.float32(0), x[j] + np.float32(dx)))


@njit(cache=True, nogil=True)
def step_quickly(
    field: NDArray[np.float32],
    width: int,
    y_max: np.float32,
    x_max: np.float32,
    y: NDArray[np.float32],
    x: NDArray[np.float32],
) -> None:
    """Move the points one step in float32; see `step_exactly`."""
    for j in range(y.size):
        row, column = np.int32(y[j]), np.int32(x[j])
        fy, fx = y[j] - np.float32(row), x[j] - np.float32(column)
        here = np.uint64(2) * (np.uint64(row) * np.uint64(width) + np.uint64(column))
        under = here + np.uint64(2 * width)
        y0 = field[here] + fx * (field[here + np.uint64(2)] - field[here])
        x0 = field[here + np.uint64(1)] + fx * (
            field[here + np.uint64(3)] - field[here + np.uint64(1)]
        )
        y1 = field[under] + fx * (field[under + np.uint64(2)] - field[under])
        x1 = field[under + np.uint64(1)] + fx * (
            field[under + np.uint64(3)] - field[under + np.uint64(1)]
        )
        y[j] = min(y_max, max(np.float32(0), y[j] + (y0 + fy * (y1 - y0))))
        x[j] = min(x_max, max(np.float32(0), x[j] + (x0 + fy * (x1 - x0))))


@njit(cache=True, nogil=True)
def follow_points(
    field: NDArray[np.float32],
    n_steps: int,
    tolerance: np.float32,
    pixels: NDArray[np.int32],
    ends: NDArray[np.float32],
) -> None:
    """Follow each pixel for `n_steps` steps, or until its end is known.

    Parameters
    ----------
    field : (H + 1, W + 1, 2) float32
    n_steps : int
    tolerance : float32
        A point is done when it is this near, in both coordinates, to where it was 8 steps before:
        0 = exactly there, and the end is that of all steps, in Cellpose's arithmetic.
    pixels : (2, P) int32
    ends : (2, P) float32, written

    Notes
    -----
    The steps that are no multiple of 8 come first. A point that is back where it was 8 steps
    before is then there again after any further multiple of 8, so at the end too.

    Cost: 4 loads of 8 bytes a pixel and step; about 20 steps a pixel instead of 200.
    """
    height, width = field.shape[0], field.shape[1]
    y_max, x_max = np.float32(height - 2), np.float32(width - 2)
    flat = field.reshape(-1)
    y, x = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    last_y, last_x = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    owner = np.empty(BLOCK, np.int64)
    exact = tolerance == 0
    for first in range(0, pixels.shape[1], BLOCK):
        n = min(BLOCK, pixels.shape[1] - first)
        for j in range(n):
            y[j], x[j], owner[j] = pixels[0, first + j], pixels[1, first + j], first + j
        todo, turn = n_steps, n_steps % STRIDE
        while todo > 0 and n > 0:
            turn = turn if turn > 0 else STRIDE
            last_y[:n] = y[:n]
            last_x[:n] = x[:n]
            for _ in range(turn):
                if exact:
                    step_exactly(flat, width, y_max, x_max, y[:n], x[:n])
                else:
                    step_quickly(flat, width, y_max, x_max, y[:n], x[:n])
            todo -= turn
            done_turn, turn = turn, 0
            kept = 0
            for j in range(n):
                still = (
                    done_turn == STRIDE
                    and abs(y[j] - last_y[j]) <= tolerance
                    and abs(x[j] - last_x[j]) <= tolerance
                )
                if still or todo == 0:
                    ends[0, owner[j]] = y[j]
                    ends[1, owner[j]] = x[j]
                else:
                    y[kept], x[kept], owner[kept] = y[j], x[j], owner[j]
                    kept += 1
            n = kept
        for j in range(n):
            ends[0, owner[j]] = y[j]
            ends[1, owner[j]] = x[j]
