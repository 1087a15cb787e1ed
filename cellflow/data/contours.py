"""Masks to closed contours along pixel edges: exact, and half the size of run lengths."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.records import CellMasks

MOVES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""What a step changes, (dy, dx): right, down, left, up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contours:
    """The contours of N cells: L closed loops of S unit steps in all.

    Parameters
    ----------
    n_loops : (N,) int64
        Loops of each cell: one a piece and one a hole.
    corners : (L, 2) int32
        Where each loop begins, (y, x) of a pixel corner: 0, 0 is the image's own corner.
    n_steps : (L,) int64
        Steps of each loop.
    steps : (S,) uint8
        0 = right, 1 = down, 2 = left, 3 = up. The cell lies on the right hand, so that outer
        loops run clockwise and holes the other way.
    """

    n_loops: NDArray[np.int64]
    corners: NDArray[np.int32]
    n_steps: NDArray[np.int64]
    steps: NDArray[np.uint8]

    def polygons(self) -> list[list[NDArray[np.int32]]]:
        """Give the loops of each cell as polygons.

        Returns
        -------
        list of N lists of (K, 2) int32
            The pixel corners (y, x) at which a loop turns, from the one that it begins at.
        """
        ends = np.cumsum(self.n_steps)
        loops = [
            _turns(corner, self.steps[end - n : end])
            for corner, n, end in zip(self.corners, self.n_steps, ends, strict=True)
        ]
        last = np.cumsum(self.n_loops)
        return [loops[end - n : end] for n, end in zip(self.n_loops, last, strict=True)]


def trace_contours(masks: CellMasks) -> Contours:
    """Follow the pixel edges around every cell.

    Parameters
    ----------
    masks : CellMasks
        N cells; they may overlap, be in pieces and have holes.

    Notes
    -----
    Pixels that touch at a corner only get loops of their own. Cost: a cell's bounding box.

    Examples
    --------
    >>> from cellflow.data.rle import labels_to_masks
    >>> trace_contours(labels_to_masks(np.array([[0, 1, 1]]))).steps
    array([0, 0, 1, 2, 2, 3], dtype=uint8)
    """
    n_loops = np.zeros(len(masks), np.int64)
    corners, n_steps, steps = _trace(
        masks.starts, masks.lengths, masks.offsets, masks.shape[1], n_loops
    )
    return Contours(n_loops=n_loops, corners=corners, n_steps=n_steps, steps=steps)


def _turns(corner: NDArray[np.int32], steps: NDArray[np.uint8]) -> NDArray[np.int32]:
    # A loop begins at a corner of its first pixel, where it turns.
    places = corner + np.concatenate([[[0, 0]], np.cumsum(MOVES[steps[:-1]], axis=0)])
    turns: NDArray[np.int32] = places[steps != np.roll(steps, 1)].astype(np.int32)
    return turns


@njit(cache=True, nogil=True)
def _trace(starts, lengths, offsets, width, n_loops):  # type: ignore[no-untyped-def]
    """Fill `n_loops` (N,); give corners, steps a loop, and all steps."""
    corners, n_steps = np.empty((64, 2), np.int32), np.empty(64, np.int64)
    steps = np.empty(1024, np.uint8)
    n_all, n_walked = 0, 0
    for cell in range(len(offsets) - 1):
        first, last = offsets[cell], offsets[cell + 1]
        top, left, edges = _mark_edges(starts[first:last], lengths[first:last], width)
        for y in range(edges.shape[0]):
            for x in range(edges.shape[1]):
                while edges[y, x] != 0:
                    if n_all == len(corners):
                        corners = np.concatenate((corners, corners))
                        n_steps = np.concatenate((n_steps, n_steps))
                    begin = n_walked
                    steps, n_walked = _walk(edges, y, x, steps, n_walked)
                    corners[n_all, 0], corners[n_all, 1] = top + y, left + x
                    n_steps[n_all] = n_walked - begin
                    n_loops[cell] += 1
                    n_all += 1
    return corners[:n_all].copy(), n_steps[:n_all].copy(), steps[:n_walked].copy()


@njit(cache=True, nogil=True)
def _mark_edges(starts, lengths, width):  # type: ignore[no-untyped-def]
    """Give the corner of a cell's box, and for each of its pixel corners the steps that leave it.

    Bit k of a corner is set where step k leaves along the cell's edge.
    """
    top, bottom = starts[0] // width, (starts[-1] + lengths[-1] - 1) // width
    left, right = width, 0
    for run in range(len(starts)):
        start, length = starts[run], lengths[run]
        row = start // width
        crosses = (start + length - 1) // width != row
        left = min(left, 0 if crosses else start - row * width)
        right = max(right, width - 1 if crosses else start + length - 1 - row * width)
    inside = np.zeros((bottom - top + 3, right - left + 3), np.bool_)
    for run in range(len(starts)):
        start, length = starts[run], lengths[run]
        for pixel in range(start, start + length):
            inside[pixel // width - top + 1, pixel % width - left + 1] = True
    edges = np.zeros((bottom - top + 2, right - left + 2), np.uint8)
    for y in range(edges.shape[0] - 1):
        for x in range(edges.shape[1] - 1):
            if not inside[y + 1, x + 1]:
                continue
            if not inside[y, x + 1]:
                edges[y, x] |= 1
            if not inside[y + 1, x + 2]:
                edges[y, x + 1] |= 2
            if not inside[y + 2, x + 1]:
                edges[y + 1, x + 1] |= 4
            if not inside[y + 1, x]:
                edges[y + 1, x] |= 8
    return top, left, edges


@njit(cache=True, nogil=True)
def _walk(edges, y, x, steps, n_walked):  # type: ignore[no-untyped-def]
    """Walk one loop from a corner back to it, rubbing out its edges; give `steps` and its end."""
    first_y, first_x = y, x
    step = 0
    while edges[y, x] & (1 << step) == 0:
        step += 1
    while True:
        edges[y, x] &= 255 ^ (1 << step)
        if n_walked == len(steps):
            steps = np.concatenate((steps, steps))
        steps[n_walked] = step
        n_walked += 1
        y += (0, 1, 0, -1)[step]
        x += (1, 0, -1, 0)[step]
        if y == first_y and x == first_x:
            return steps, n_walked
        # Right before straight before left: pixels that touch at a corner stay apart.
        for turn in (1, 0, 3):
            if edges[y, x] & (1 << (step + turn) % 4):
                step = (step + turn) % 4
                break
