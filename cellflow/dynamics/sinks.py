"""From end points to labels: pixels whose end points gather in one sink form a cell.

Stringer et al., Cellpose, Nature Methods 2021; the steps are those of `get_masks_torch` in Cellpose
3.1.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.dynamics.cleanup import keep_cells
from cellflow.records import Shape
from cellflow.targets.centers import CellBoxes, cells_of_table

REACH = 5
"""How far a sink grows from its peak, at most, pixels."""
PEAK_REACH = 2
"""A peak has the most end points of all pixels within this distance."""
MIN_PEAK = 10
"""A peak has more end points than this."""
MIN_SINK = 2
"""Every pixel of a sink has more end points than this."""
MAX_SIZE_FRACTION = 0.4
"""A cell that covers a larger share of the image is dropped: it is background taken for a cell."""


def gather_in_sinks(
    end_points: NDArray[np.float32], pixels: NDArray[np.int32], shape: Shape
) -> CellBoxes:
    """Give the same label to the pixels whose walks end in the same sink.

    Parameters
    ----------
    end_points : (2, P) float32
        Inside the image; the pixel of an end point is its integer part.
    pixels : (2, P) int32
        Where the walks began, in raster order.
    shape : (H, W)

    Returns
    -------
    CellBoxes
        Cells 1…N without gaps, numbered by their first pixel in raster order.

    Notes
    -----
    A sink starts at a peak: a pixel with more than 10 end points, and at least as many as any other
    in the 5×5 window around it. It grows 5 times into 8-connected neighbours with more than 2 end
    points. Where sinks overlap, the one with the larger peak wins, among equal peaks the later in
    raster order. Pixels that end in no sink are background, and so are cells that cover more than
    0.4 of the image.
    """
    height, width = shape
    counts = np.zeros((height + 2 * REACH, width + 2 * REACH), np.int32)
    peaks = list_peaks(counts, count_ends(end_points, counts))
    peaks = peaks[np.argsort(counts[peaks[:, 0], peaks[:, 1]], kind="stable")]
    grow_sinks(counts, peaks)
    labels = np.zeros(shape, np.int32)
    found = np.zeros((len(peaks), 6), np.int64)
    n_cells = label_by_end(end_points, pixels, counts, labels, found)
    cells = cells_of_table(labels, np.arange(1, n_cells + 1, dtype=np.int32), found[:n_cells])
    return keep_cells(cells, cells.areas <= height * width * MAX_SIZE_FRACTION)


@njit(cache=True, nogil=True)
def count_ends(end_points: NDArray[np.float32], counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Count the end points in each pixel; give the pixels with more than 10.

    Cost: one pass over the end points.

    Parameters
    ----------
    end_points : (2, P) float32
    counts : (H + 10, W + 10) int32, changed
        Must be 0 at the start. Has a margin of 5 on each side.

    Returns
    -------
    (M,) int64
        Flat indices into `counts`, in the order in which they passed 10.
    """
    width = counts.shape[1]
    crowded = np.empty(1 + end_points.shape[1] // (MIN_PEAK + 1), np.int64)
    n = 0
    for j in range(end_points.shape[1]):
        y, x = np.int32(end_points[0, j]) + REACH, np.int32(end_points[1, j]) + REACH
        counts[y, x] += 1
        if counts[y, x] == MIN_PEAK + 1:
            crowded[n] = np.int64(y) * width + x
            n += 1
    return crowded[:n]


@njit(cache=True, nogil=True)
def list_peaks(counts: NDArray[np.int32], crowded: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give row and column of those `crowded` pixels that are peaks, in raster order, (N, 2) int64.

    Cost: 25 comparisons per crowded pixel.
    """
    peaks = np.empty((crowded.size, 2), np.int64)
    n = 0
    for place in np.sort(crowded):
        y, x = place // counts.shape[1], place % counts.shape[1]
        if is_largest_around(counts, y, x):
            peaks[n, 0], peaks[n, 1] = y, x
            n += 1
    return peaks[:n]


@njit(cache=True, nogil=True)
def is_largest_around(counts: NDArray[np.int32], y: int, x: int) -> bool:
    """Tell whether no pixel of the 5×5 window around (y, x) has a larger count."""
    for i in range(y - PEAK_REACH, y + PEAK_REACH + 1):
        for j in range(x - PEAK_REACH, x + PEAK_REACH + 1):
            if counts[i, j] > counts[y, x]:
                return False
    return True


@njit(cache=True, nogil=True)
def grow_sinks(counts: NDArray[np.int32], peaks: NDArray[np.int64]) -> None:
    """Write -k over the sink of the k-th peak, from 1; later sinks overwrite earlier ones.

    Cost: some 1000 operations per peak.

    Parameters
    ----------
    counts : (H + 10, W + 10) int32, changed
        See `count_ends`. A negative entry belongs to an earlier sink, so its count was above 2.
    peaks : (N, 2) int64
        None in the margin.

    Notes
    -----
    A row of the 11×11 window around a peak is one integer with a bit per pixel, so growing a row by
    one pixel takes two shifts.
    """
    side = 2 * REACH + 1
    allowed = np.zeros(side, np.int64)
    member, grown = np.zeros(side + 2, np.int64), np.zeros(side + 2, np.int64)
    for k in range(peaks.shape[0]):
        top, left = peaks[k, 0] - REACH, peaks[k, 1] - REACH
        for y in range(side):
            allowed[y] = 0
            for x in range(side):
                count = counts[top + y, left + x]
                allowed[y] |= np.int64(count > MIN_SINK or count < 0) << x
        member[:] = 0
        member[1 + REACH] = 1 << REACH
        for _ in range(REACH):
            for y in range(1, side + 1):
                near = member[y - 1] | member[y] | member[y + 1]
                grown[y] = (near | near << 1 | near >> 1) & allowed[y - 1]
            member[:] = grown
        for y in range(side):
            for x in range(side):
                if member[1 + y] >> x & 1:
                    counts[top + y, left + x] = -(k + 1)


@njit(cache=True, nogil=True)
def label_by_end(
    end_points: NDArray[np.float32],
    pixels: NDArray[np.int32],
    sinks: NDArray[np.int32],
    labels: NDArray[np.int32],
    found: NDArray[np.int64],
) -> int:
    """Label each pixel with the number of the cell whose sink its walk ends in.

    Cost: one lookup per cell pixel of the sink of its end, and one update of a cell per run of
    neighbouring pixels in a row that end in the same sink.

    Parameters
    ----------
    end_points, pixels
        See `gather_in_sinks`.
    sinks : (H + 10, W + 10) int32
        See `grow_sinks`.
    labels : (H, W) int32, written
        Must be 0 at the start. Cells are numbered from 1 in the order of their first pixels.
    found : (N, 6) int64, written
        Must be 0 at the start. Bounding box, pixels and gaps of each cell, see `CellBoxes`.

    Returns
    -------
    int
        Number of cells.
    """
    numbers = np.zeros(len(found) + 1, np.int64)
    ys, xs, n, last, n_pixels = pixels[0], pixels[1], 0, 0, pixels.shape[1]
    while last < n_pixels:
        first, y, x, sink = last, ys[last], xs[last], sink_of(end_points, last, sinks)
        while (
            last < n_pixels
            and ys[last] == y
            and xs[last] - x == last - first
            and sink_of(end_points, last, sinks) == sink
        ):
            last += 1
        if sink == 0:
            continue
        if numbers[sink] == 0:
            found[n, 0], found[n, 1] = y, x
            n += 1
            numbers[sink] = n
        labels[y, x : x + last - first] = numbers[sink]
        cell = found[numbers[sink] - 1]
        cell[5] += cell[2] == y + 1
        cell[1], cell[2] = min(cell[1], x), y + 1
        cell[3] = max(cell[3], x + last - first)
        cell[4] += last - first
    return n


@njit(cache=True, nogil=True)
def sink_of(end_points: NDArray[np.float32], j: int, sinks: NDArray[np.int32]) -> int:
    """Give the number of the sink that end point `j` lies in, 0 for none; see `grow_sinks`."""
    # Unsigned, so that Numba generates no checks for negative indices.
    row = np.uint64(np.int32(end_points[0, j]) + REACH)
    column = np.uint64(np.int32(end_points[1, j]) + REACH)
    return int(max(0, -sinks[row, column]))
