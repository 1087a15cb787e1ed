"""Numba kernels that follow the flow. They check nothing; `follow` calls them with valid arrays.

One step moves a point by the flow at its place: interpolated bilinearly between the four pixels
around it, where integer coordinates are pixel centres. Points are clamped to the image. The path of
a point depends on its two float32 coordinates only, so a point that returns to an earlier place is
on a cycle, and its end is known.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

BLOCK = 256
"""Points that are moved together: enough to outweigh starting the four loops of a step, and few
enough for the L1 cache."""
PAIRS = 2 * BLOCK
"""Numbers in a row of the workspace: (y, x) of every point."""
N_WORK = 10 * PAIRS
"""Size of the workspace. Its ten rows: points; flow at the four pixels around each point (4 rows);
weight downwards; weight rightwards; largest coordinates; integer part of the points, as int32;
fractional part."""
TURN = 8
"""Steps between two checks which points are done; cycles of 1, 2, 4 and 8 steps are detected."""
STRETCH = 64
"""Pixels of a row that are skipped together if none of them is in a cell."""
INFINITY = np.float32(np.inf)
LOW_WORD, WORD = np.uint64(0xFFFFFFFF), np.uint64(32)
"""Mask of the first of two 4-byte numbers that are packed into 8 bytes, and its number of bits."""


@njit(cache=True, nogil=True)
def count_cell_pixels(
    cellprob: NDArray[np.float32], threshold: np.float32, counts: NDArray[np.int64]
) -> None:
    """Count the pixels of each row that belong to a cell.

    Cost: one pass, vectorised; bound by memory bandwidth.

    Parameters
    ----------
    cellprob : (rows, W) float32
    threshold : float32
        A pixel belongs to a cell if its `cellprob` is above; NaN never is.
    counts : (rows,) int64, written
    """
    for y in range(counts.size):
        prob, n = cellprob[y], 0
        for x in range(prob.size):
            n += prob[x] > threshold
        counts[y] = n


@njit(cache=True, nogil=True)
def gather_cell_pixels(
    flows: NDArray[np.float32],
    cellprob: NDArray[np.float32],
    threshold: np.float32,
    rows: tuple[int, int],
    first_pixel: int,
    field: NDArray[np.float32],
    pixels: NDArray[np.int32],
) -> int:
    """Interleave the flows of the cell pixels, list these pixels, and count unusable flows.

    Cost: one vectorised pass over all pixels, and one pixel by pixel over stretches with a cell.

    Parameters
    ----------
    flows : (2, H, W) float32
    cellprob, threshold
        See `count_cell_pixels`; the whole image.
    rows : (int, int)
        The first, and the one after the last.
    first_pixel : int
        Number of cell pixels in the rows before.
    field : (H + 1, W + 1, 2) float32, written at cell pixels
        Must be 0 at the start.
    pixels : (2, P) int32, written
        Row and column of the cell pixels of the whole image, in raster order. A slice for these
        rows would be contiguous in some calls and not in others, and Numba would compile the kernel
        twice.

    Returns
    -------
    int
        Cell pixels whose flow is not finite.
    """
    n, n_bad, width = np.uint64(first_pixel), 0, cellprob.shape[1]
    for y in range(rows[0], rows[1]):
        for first in range(0, width, STRETCH):
            prob, n_inside = cellprob[y, first : first + STRETCH], 0
            for x in range(prob.size):
                n_inside += prob[x] > threshold
            if n_inside == 0:
                continue
            dy, dx, out = flows[0, y, first:], flows[1, y, first:], field[y, first:]
            for x in range(prob.size):
                if prob[x] > threshold:
                    out[x, 0], out[x, 1] = dy[x], dx[x]
                    pixels[0, n], pixels[1, n] = y, first + x
                    n += np.uint64(1)
            for x in range(prob.size):
                is_finite = (abs(dy[x]) < INFINITY) & (abs(dx[x]) < INFINITY)
                n_bad += (prob[x] > threshold) & (not is_finite)
    return n_bad


@njit(cache=True, nogil=True)
def take_steps(
    field: NDArray[np.uint64],
    width: int,
    first: int,
    n: int,
    n_steps: int,
    is_exact: bool,
    work: NDArray[np.float32],
    whole_work: NDArray[np.int32],
    pair_work: NDArray[np.uint64],
) -> None:
    """Move points `first` to ``n - 1`` of the block by `n_steps` steps.

    Parameters
    ----------
    field : ((H + 1) * width,) uint64
        The (dy, dx) pairs of the field, each packed into 8 bytes.
    width : int
        Length of a row of the field, W + 1.
    first, n : int
        The first point, and the one after the last.
    n_steps : int
    is_exact : bool
        Whether to reproduce the arithmetic of Cellpose to the last bit.
    work : (N_WORK,) float32, changed
        The workspace, see `N_WORK`.
    whole_work, pair_work : (N_WORK,) int32, (N_WORK / 2,) uint64
        Views of the same memory.

    Notes
    -----
    All loops run from 0 over slices of one array, so that Numba needs no checks for negative
    indices and LLVM sees that nothing overlaps. All are vectorised except the one that loads from
    the field. That one takes five of the eight processor cycles of a step and point: a point needs
    four stores, and a processor makes one per cycle.
    """
    rows, pairs, whole = work[2 * first :], pair_work[first:], whole_work[8 * PAIRS + 2 * first :]
    point, corners = rows[: 2 * (n - first)], rows[PAIRS:]
    down, right, limit = rows[5 * PAIRS :], rows[6 * PAIRS :], rows[7 * PAIRS :]
    fraction, weights = rows[9 * PAIRS :], pairs[9 * BLOCK :]
    places, corner_pairs = pairs[8 * BLOCK :][: n - first], pairs[BLOCK:]
    downs, rights = pairs[5 * BLOCK :], pairs[6 * BLOCK :]
    for _ in range(n_steps):
        for i in range(point.size):
            whole[i] = np.int32(point[i])
            fraction[i] = point[i] - np.float32(whole[i])
        for j in range(places.size):
            y, x = weights[j] & LOW_WORD, weights[j] >> WORD
            downs[j], rights[j] = y | y << WORD, x | x << WORD
        load_corners(field, width, places, corner_pairs)
        if is_exact:
            move_exactly(corners, down, right, limit, point)
        else:
            move_quickly(corners, down, right, limit, point)


@njit(cache=True, nogil=True, inline="always")
def load_corners(
    field: NDArray[np.uint64], width: int, places: NDArray[np.uint64], corners: NDArray[np.uint64]
) -> None:
    """Load the flow at the four pixels around each point.

    Parameters
    ----------
    field : ((H + 1) * width,) uint64
    width : int
    places : (n,) uint64
        Row and column of the upper left pixel, each in 4 bytes.
    corners : (>= 4 * BLOCK,) uint64, written
        Upper left, upper right, lower left, lower right; `BLOCK` pairs each.
    """
    beside, under, across = field[1:], field[width:], field[width + 1 :]
    upper_right, lower_left = corners[BLOCK:], corners[2 * BLOCK :]
    lower_right, stride = corners[3 * BLOCK :], np.uint64(width)
    for j in range(places.size):
        here = (places[j] & LOW_WORD) * stride + (places[j] >> WORD)
        corners[j], upper_right[j] = field[here], beside[here]
        lower_left[j], lower_right[j] = under[here], across[here]


@njit(cache=True, nogil=True, inline="always")
def move_quickly(
    corners: NDArray[np.float32],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    limit: NDArray[np.float32],
    point: NDArray[np.float32],
) -> None:
    """Move the points by the bilinear flow, in float32.

    Parameters
    ----------
    corners, down, right, limit : see `take_steps`
        Rows of its workspace: flow at the four pixels, weights, largest coordinates.
    point : (2 n,) float32, changed

    Notes
    -----
    Cost: 14 operations per point and step, vectorised.
    """
    upper_left, upper_right = corners, corners[PAIRS:]
    lower_left, lower_right = corners[2 * PAIRS :], corners[3 * PAIRS :]
    for i in range(point.size):
        upper = upper_left[i] + right[i] * (upper_right[i] - upper_left[i])
        lower = lower_left[i] + right[i] * (lower_right[i] - lower_left[i])
        moved = point[i] + (upper + down[i] * (lower - upper))
        moved = moved if moved > np.float32(0) else np.float32(0)
        point[i] = moved if moved < limit[i] else limit[i]


@njit(cache=True, nogil=True, inline="always")
def move_exactly(
    corners: NDArray[np.float32],
    down: NDArray[np.float32],
    right: NDArray[np.float32],
    limit: NDArray[np.float32],
    point: NDArray[np.float32],
) -> None:
    """Move the points by the bilinear flow, in exactly the arithmetic of Cellpose 3.1.

    Parameters are those of `move_quickly`. Cellpose's `map_coordinates` mixes precisions: products
    with ``1 - weight`` are float64, the rest is float32.
    """
    upper_left, upper_right = corners, corners[PAIRS:]
    lower_left, lower_right = corners[2 * PAIRS :], corners[3 * PAIRS :]
    for i in range(point.size):
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
) -> np.uint32:
    """Give the number of the trap that the point is in, 0 for none; see `list_traps`.

    Parameters
    ----------
    y, x : float32
        Inside the image.
    trap_at, traps
        See `follow_points`.

    Notes
    -----
    Row 0 of `traps` is all 0, so no point is inside it; this avoids an unpredictable branch.
    """
    row, column = np.uint32(y), np.uint32(x)
    number = np.uint32(trap_at[row, column])
    dy = y - np.float32(np.int32(y)) - traps[number, 0]
    dx = x - np.float32(np.int32(x)) - traps[number, 1]
    u = traps[number, 2] * dy + traps[number, 3] * dx
    v = traps[number, 4] * dy + traps[number, 5] * dx
    return number if u * u + v * v < traps[number, 6] else np.uint32(0)


@njit(cache=True, nogil=True)
def follow_points(
    field: NDArray[np.float32],
    n_steps: int,
    tolerance: np.float32,
    trap_at: NDArray[np.int32],
    traps: NDArray[np.float32],
    pixels: NDArray[np.int32],
    first: int,
    last: int,
    ends: NDArray[np.float32],
) -> None:
    """Follow each pixel for `n_steps` steps, or until its end is known.

    Parameters
    ----------
    field : (H + 1, W + 1, 2) float32, C-contiguous
        See `masked_field`.
    n_steps : int
    tolerance : float32
        A point is done when it is this near, in both coordinates, to where it was 8 steps before.
        0 = exactly there, and in Cellpose's arithmetic: without traps the end is that after all
        steps.
    trap_at : (H, W) int32
        Number of the trap in the square below and right of a pixel centre, 0 = none.
    traps : (K, 7) float32
        See `list_traps`; row 0 means no trap. If it is the only row, `trap_at` is not used.
    pixels : (2, P) int32
    first, last : int
        The first pixel to follow, and the one after the last.
    ends : (2, P) float32, written

    Notes
    -----
    The ``n_steps % 8`` remaining steps are done first. A point that is back where it was 8 steps
    before is then there again after any further multiple of 8 steps, and so at the end. A point
    that is done is replaced with the next pixel, so that the block stays full.

    Cost: that of `take_steps` for each cell pixel and step until its end is known, 25 to 40 steps
    of 200. Memory: `field`, `pixels`, `ends`, and some 30 KB per thread.

    Field and steps are those of Cellpose (`steps2D_interp`; Stringer et al., Nature Methods 2021).
    Stopping on cycles and traps are additions of cellflow.
    """
    width = field.shape[1]
    flat = field.reshape(-1).view(np.uint64)
    work = np.zeros(N_WORK, np.float32)
    works = work, work.view(np.int32), work.view(np.uint64)
    points, limits = work[:PAIRS].reshape(BLOCK, 2), work[7 * PAIRS : 8 * PAIRS].reshape(BLOCK, 2)
    limits[:, 0], limits[:, 1] = field.shape[0] - 2, width - 2
    before = np.empty((BLOCK, 2), np.float32)
    owner, n_turns = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64)
    n, loaded = 0, first
    while n > 0 or loaded < last:
        old, n = n, min(BLOCK, n + last - loaded)
        for j in range(n - old):
            points[old + j, 0] = pixels[0, loaded + j]
            points[old + j, 1] = pixels[1, loaded + j]
            owner[old + j], n_turns[old + j] = loaded + j, n_steps // TURN
        loaded += n - old
        if n_steps % TURN:
            take_steps(flat, width, old, n, n_steps % TURN, tolerance == 0, *works)
        for j in range(n):
            before[j, 0], before[j, 1] = points[j, 0], points[j, 1]
        take_steps(flat, width, 0, n, TURN if n_steps >= TURN else 0, tolerance == 0, *works)
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
    """Write the ends of the points that are done, and move the others up; give how many are left.

    Parameters
    ----------
    n : int
        Points in the block.
    points, before : (BLOCK, 2) float32
        Where they are, and where they were a turn ago; `points` is changed.
    owner, n_turns : (BLOCK,) int64, changed
        The pixel of each point, and the number of turns that it has left.
    tolerance, trap_at, traps, ends
        See `follow_points`.

    Notes
    -----
    Cost: some 20 processor cycles per point and turn, most of them for its trap.
    There are no branches, since whether a point is done is unpredictable: every point is moved up
    and its end written, but only a point that is not done advances the counter.
    """
    has_traps = len(traps) > 1
    left = 0
    for j in range(n):
        y, x = points[j, 0], points[j, 1]
        turns = n_turns[j] - 1
        is_still = abs(y - before[j, 0]) <= tolerance and abs(x - before[j, 1]) <= tolerance
        number = find_trap(y, x, trap_at, traps) if has_traps else np.uint32(0)
        is_caught = number > 0
        place, slot = np.uint64(owner[j]), np.uint64(left)
        ends[0, place] = np.float32(np.int32(y)) + traps[number, 0] if is_caught else y
        ends[1, place] = np.float32(np.int32(x)) + traps[number, 1] if is_caught else x
        points[slot, 0], points[slot, 1] = y, x
        owner[slot], n_turns[slot] = owner[j], turns
        left += not (is_still or is_caught or turns <= 0)
    return left
