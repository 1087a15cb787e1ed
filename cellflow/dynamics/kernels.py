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
PAIRS = 2 * BLOCK
"""Numbers in a row of the workspace: (y, x) of every point."""
N_WORK = 8 * PAIRS
"""Rows: points, flow at the four pixels around, weight downwards, weight rightwards, limits."""
TURN = 8
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


@njit(cache=True, nogil=True, inline="always")
def fetch(
    field: NDArray[np.int64], width: int, first: int, n: int, work: NDArray[np.float32]
) -> None:
    """Load the flow at the four pixels around each point, and how far the point is from the first.

    Parameters
    ----------
    field : ((H + 1) * width,) int64
        The field's (dy, dx) pairs, moved as one number of 8 bytes.
    width : int
        Of a row of the field, W + 1.
    first, n : int
        From which point, and before which.
    work : (N_WORK,) float32, changed
    """
    points = work[:PAIRS].reshape(BLOCK, 2)
    corners = work[PAIRS : 5 * PAIRS].view(np.int64)
    upper_left, upper_right = corners[:BLOCK], corners[BLOCK : 2 * BLOCK]
    lower_left, lower_right = corners[2 * BLOCK : 3 * BLOCK], corners[3 * BLOCK :]
    downs = work[5 * PAIRS : 6 * PAIRS].reshape(BLOCK, 2)
    rights = work[6 * PAIRS : 7 * PAIRS].reshape(BLOCK, 2)
    for j in range(first, n):
        y, x = points[j, 0], points[j, 1]
        row, column = np.int32(y), np.int32(x)
        # Unsigned, so that Numba need not look for negative indices.
        here = np.uint64(np.int64(row) * width + column)
        under = here + np.uint64(width)
        upper_left[j], upper_right[j] = field[here], field[here + np.uint64(1)]
        lower_left[j], lower_right[j] = field[under], field[under + np.uint64(1)]
        down, right = y - np.float32(row), x - np.float32(column)
        downs[j, 0], downs[j, 1] = down, down
        rights[j, 0], rights[j, 1] = right, right


@njit(cache=True, nogil=True, inline="always")
def move_quickly(first: int, n: int, work: NDArray[np.float32]) -> None:
    """Move the points by what `fetch` found, in float32. Slices of one array: LLVM vectorises."""
    point, limit = work[:PAIRS], work[7 * PAIRS :]
    upper_left, upper_right = work[PAIRS : 2 * PAIRS], work[2 * PAIRS : 3 * PAIRS]
    lower_left, lower_right = work[3 * PAIRS : 4 * PAIRS], work[4 * PAIRS : 5 * PAIRS]
    down, right = work[5 * PAIRS : 6 * PAIRS], work[6 * PAIRS : 7 * PAIRS]
    for i in range(2 * first, 2 * n):
        upper = upper_left[i] + right[i] * (upper_right[i] - upper_left[i])
        lower = lower_left[i] + right[i] * (lower_right[i] - lower_left[i])
        moved = point[i] + (upper + down[i] * (lower - upper))
        moved = moved if moved > np.float32(0) else np.float32(0)
        point[i] = moved if moved < limit[i] else limit[i]


@njit(cache=True, nogil=True, inline="always")
def move_exactly(first: int, n: int, work: NDArray[np.float32]) -> None:
    """Move the points by what `fetch` found, in the very arithmetic of Cellpose 3.1.

    Its `map_coordinates` mixes: what touches ``1 - weight`` is float64, the rest float32.
    """
    point, limit = work[:PAIRS], work[7 * PAIRS :]
    upper_left, upper_right = work[PAIRS : 2 * PAIRS], work[2 * PAIRS : 3 * PAIRS]
    lower_left, lower_right = work[3 * PAIRS : 4 * PAIRS], work[4 * PAIRS : 5 * PAIRS]
    down, right = work[5 * PAIRS : 6 * PAIRS], work[6 * PAIRS : 7 * PAIRS]
    for i in range(2 * first, 2 * n):
        up, left = 1.0 - np.float64(down[i]), 1.0 - np.float64(right[i])
        flow = (
            upper_left[i] * up * left
            + upper_right[i] * up * right[i]
            + lower_left[i] * down[i] * left
            + lower_right[i] * down[i] * right[i]
        )
        moved = point[i] + np.float32(flow)
        moved = moved if moved > np.float32(0) else np.float32(0)
        point[i] = moved if moved < limit[i] else limit[i]


@njit(cache=True, nogil=True)
def find_trap(
    y: np.float32, x: np.float32, trap_at: NDArray[np.int32], traps: NDArray[np.float32]
) -> int:
    """Give the number of the trap that the point is in, 0 for none; see `list_traps`."""
    row, column = np.int32(y), np.int32(x)
    number = trap_at[row, column]
    if number == 0:
        return 0
    trap = traps[number]
    dy, dx = y - np.float32(row) - trap[0], x - np.float32(column) - trap[1]
    u, v = trap[2] * dy + trap[3] * dx, trap[4] * dy + trap[5] * dx
    return number if u * u + v * v < trap[6] else 0


@njit(cache=True, nogil=True)
def follow_points(
    field: NDArray[np.float32],
    n_steps: int,
    tolerance: np.float32,
    trap_at: NDArray[np.int32],
    traps: NDArray[np.float32],
    pixels: NDArray[np.int32],
    ends: NDArray[np.float32],
) -> None:
    """Follow each pixel for `n_steps` steps, or until its end is known.

    Parameters
    ----------
    field : (H + 1, W + 1, 2) float32, C-contiguous
        See `gather_field`.
    n_steps : int
    tolerance : float32
        A point is done when it is this near, in both coordinates, to where it was 8 steps before:
        0 = exactly there, and the end is that of all steps, in Cellpose's arithmetic.
    trap_at : (H, W) int32
        Number of the trap in the square below and right of a pixel centre, 0 = none.
    traps : (K, 7) float32
        See `list_traps`; number 0 is not used. With none, `trap_at` is not looked at.
    pixels : (2, P) int32
    ends : (2, P) float32, written

    Notes
    -----
    The steps that are no multiple of 8 come first. A point that is back where it was 8 steps
    before is then there again after any further multiple of 8, so at the end too. A point that is
    done makes room for the next pixel: the block stays full.

    Cost: four loads of 8 bytes a pixel and step.
    """
    width = field.shape[1]
    flat = field.reshape(-1).view(np.int64)
    work = np.zeros(N_WORK, np.float32)
    points, limits = work[:PAIRS].reshape(BLOCK, 2), work[7 * PAIRS :].reshape(BLOCK, 2)
    limits[:, 0], limits[:, 1] = field.shape[0] - 2, width - 2
    before = np.empty((BLOCK, 2), np.float32)
    owner, n_turns = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    n, loaded = 0, 0
    while n > 0 or loaded < pixels.shape[1]:
        old = n
        while n < BLOCK and loaded < pixels.shape[1]:
            points[n, 0], points[n, 1] = pixels[0, loaded], pixels[1, loaded]
            owner[n], n_turns[n] = loaded, n_steps // TURN
            n, loaded = n + 1, loaded + 1
        for _ in range(n_steps % TURN if n > old else 0):
            fetch(flat, width, old, n, work)
            if tolerance == 0:
                move_exactly(old, n, work)
            else:
                move_quickly(old, n, work)
        before[:n] = points[:n]
        for _ in range(TURN if n_steps >= TURN else 0):
            fetch(flat, width, 0, n, work)
            if tolerance == 0:
                move_exactly(0, n, work)
            else:
                move_quickly(0, n, work)
        n = retire(n, tolerance, points, before, owner, n_turns, trap_at, traps, ends)


@njit(cache=True, nogil=True)
def retire(
    n: int,
    tolerance: np.float32,
    points: NDArray[np.float32],
    before: NDArray[np.float32],
    owner: NDArray[np.int64],
    n_turns: NDArray[np.int64],
    trap_at: NDArray[np.int32],
    traps: NDArray[np.float32],
    ends: NDArray[np.float32],
) -> int:
    """Write the ends of the points that are done, close the ranks, and give how many are left."""
    left = 0
    for j in range(n):
        y, x = points[j, 0], points[j, 1]
        n_turns[j] -= 1
        is_done = n_turns[j] <= 0 or (
            abs(y - before[j, 0]) <= tolerance and abs(x - before[j, 1]) <= tolerance
        )
        if not is_done and len(traps) > 1:
            number = find_trap(y, x, trap_at, traps)
            if number > 0:
                is_done = True
                y = np.float32(np.int32(y)) + traps[number, 0]
                x = np.float32(np.int32(x)) + traps[number, 1]
        if is_done:
            ends[0, owner[j]], ends[1, owner[j]] = y, x
        else:
            points[left, 0], points[left, 1] = y, x
            owner[left], n_turns[left] = owner[j], n_turns[j]
            left += 1
    return left
