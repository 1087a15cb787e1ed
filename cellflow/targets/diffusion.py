"""Heat that spreads from a cell's centre, and the flow that climbs it: the kernels.

The algorithm is that of Cellpose 3.1 on the CPU (`masks_to_flows_cpu`): in the cell's bounding box,
padded by one pixel, ``2 (h + w + 4)`` times add 1 at the centre and replace every pixel of the cell by
the mean of its 3×3 neighbourhood, 0 outside the cell; the flow is the normalised central difference.
Pieces of a cell that do not touch the piece with the centre stay cold, so their flow is 0.

Stringer et al., Cellpose: a generalist algorithm for cellular segmentation, Nature Methods 2021.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

TINY = 1e-60
"""Added to a flow's length, as Cellpose does: 0 stays 0."""


@njit(cache=True, nogil=True)
def place_cell(
    labels: NDArray[np.int32], value: int, box: NDArray[np.int64], weights: NDArray[np.float64]
) -> int:
    """Write 1/9 where the padded box is inside the cell, else 0; give the centre.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous
    value : int
        The cell's label.
    box : (4,) int64
        Its bounding box, h x w pixels, as in `CellBoxes`.
    weights : ((h + 2) * (w + 1) + 1,) float64, written
        Rows of w + 1: column 0 pads the row's left end and the right end of the row above.

    Returns
    -------
    int
        Flat index of the centre: the cell's pixel nearest its mean, the first in raster order.
    """
    height, width = box[2] - box[0], box[3] - box[1]
    stride = width + 1
    weights[:] = 0.0
    n, sum_y, sum_x = 0, 0, 0
    for y in range(height):
        row = labels[box[0] + y, box[1] : box[3]]
        inside = weights[(y + 1) * stride + 1 : (y + 2) * stride]
        for x in range(width):
            if row[x] == value:
                inside[x] = 1.0 / 9.0
                n += 1
                sum_y += y + 1
                sum_x += x + 1
    mean_y, mean_x = sum_y / n, sum_x / n
    nearest, centre = np.inf, 0
    for y in range(1, height + 1):
        inside = weights[y * stride : (y + 1) * stride]
        for x in range(1, width + 1):
            if inside[x] != 0.0:
                distance = (x - mean_x) ** 2 + (y - mean_y) ** 2
                if distance < nearest:
                    nearest, centre = distance, y * stride + x
    return centre


@njit(cache=True, nogil=True)
def diffuse(
    heat: NDArray[np.float64],
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
    centre: int,
    stride: int,
    n_steps: int,
) -> None:
    """Let heat spread in place: Jacobi steps with the 3×3 mean as two sums of three.

    Parameters
    ----------
    heat : ((h + 2) * stride + 1,) float64, written
        0 at the start.
    sums : as `heat`, scratch
    weights : as `heat`
        1/9 inside the cell, 0 outside, see `place_cell`.
    centre, stride, n_steps : int

    Notes
    -----
    Cost: 4 additions and 1 product a pixel of the box and step, in unit stride without a branch.
    Heat has gone at most one row a step, so the first steps touch only the rows around the centre.
    """
    last_row = heat.size // stride - 1
    centre_row = centre // stride
    for step in range(n_steps):
        heat[centre] += 1.0
        # Views instead of offsets: Numba then needs no negative-index check, and LLVM vectorises.
        start = max(1, centre_row - step - 1) * stride + 1
        stop = min(last_row, centre_row + step + 2) * stride
        left = heat[start - stride - 1 : stop + stride - 1]
        here = heat[start - stride : stop + stride]
        right = heat[start - stride + 1 : stop + stride + 1]
        across = sums[start - stride : stop + stride]
        for i in range(across.size):
            across[i] = left[i] + here[i] + right[i]
        above = sums[start - stride : stop - stride]
        middle = sums[start:stop]
        below = sums[start + stride : stop + stride]
        inside = weights[start:stop]
        out = heat[start:stop]
        for i in range(out.size):
            out[i] = (above[i] + middle[i] + below[i]) * inside[i]


@njit(cache=True, nogil=True)
def heat_cell(
    labels: NDArray[np.int32],
    value: int,
    box: NDArray[np.int64],
    scratch: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the heat of one cell and where the cell is, both flat over its padded box.

    Parameters
    ----------
    labels, value, box
        See `place_cell`.
    scratch : (3, S) float64
        ``S >= (h + 2) * (w + 1) + 1``; the results are views of it.
    """
    height, width = box[2] - box[0], box[3] - box[1]
    size = (height + 2) * (width + 1) + 1
    heat, sums, weights = scratch[0, :size], scratch[1, :size], scratch[2, :size]
    heat[:] = 0.0
    sums[:] = 0.0
    centre = place_cell(labels, value, box, weights)
    diffuse(heat, sums, weights, centre, width + 1, 2 * (height + width + 4))
    return heat, weights


@njit(cache=True, nogil=True)
def write_cell_flows(
    labels: NDArray[np.int32],
    values: NDArray[np.int32],
    boxes: NDArray[np.int64],
    cells: NDArray[np.int64],
    flows: NDArray[np.float32],
) -> None:
    """Write the flows of some cells into the image.

    Parameters
    ----------
    labels, values, boxes
        See `CellBoxes`.
    cells : (M,) int64
        Which of them to do.
    flows : (2, H, W) float32, written at the pixels of these cells
    """
    scratch = np.empty((3, largest_box(boxes, cells)), np.float64)
    for k in range(cells.size):
        box = boxes[cells[k]]
        height, width = box[2] - box[0], box[3] - box[1]
        stride = width + 1
        heat, weights = heat_cell(labels, values[cells[k]], box, scratch)
        for y in range(height):
            first = (y + 1) * stride + 1
            out_y = flows[0, box[0] + y, box[1] : box[3]]
            out_x = flows[1, box[0] + y, box[1] : box[3]]
            inside = weights[first : first + width]
            above, below = heat[first - stride :], heat[first + stride :]
            left, right = heat[first - 1 :], heat[first + 1 :]
            for x in range(width):
                if inside[x] != 0.0:
                    dy, dx = below[x] - above[x], right[x] - left[x]
                    length = TINY + np.sqrt(dy * dy + dx * dx)
                    out_y[x] = dy / length
                    out_x[x] = dx / length


@njit(cache=True, nogil=True)
def write_cell_errors(
    labels: NDArray[np.int32],
    values: NDArray[np.int32],
    boxes: NDArray[np.int64],
    cells: NDArray[np.int64],
    flows: NDArray[np.float32],
    errors: NDArray[np.float64],
) -> None:
    """Write the mean squared distance between the cells' own flows and given ones.

    Parameters
    ----------
    labels, values, boxes, cells
        See `write_cell_flows`.
    flows : (2, H, W) float32
        Pixels per step.
    errors : (N,) float64, written at `cells`
        Mean over the cell's pixels of the squared length of the difference.
    """
    scratch = np.empty((3, largest_box(boxes, cells)), np.float64)
    for k in range(cells.size):
        box = boxes[cells[k]]
        height, width = box[2] - box[0], box[3] - box[1]
        stride = width + 1
        heat, weights = heat_cell(labels, values[cells[k]], box, scratch)
        total, n = 0.0, 0
        for y in range(height):
            first = (y + 1) * stride + 1
            given_y = flows[0, box[0] + y, box[1] : box[3]]
            given_x = flows[1, box[0] + y, box[1] : box[3]]
            inside = weights[first : first + width]
            above, below = heat[first - stride :], heat[first + stride :]
            left, right = heat[first - 1 :], heat[first + 1 :]
            for x in range(width):
                if inside[x] != 0.0:
                    dy, dx = below[x] - above[x], right[x] - left[x]
                    length = TINY + np.sqrt(dy * dy + dx * dx)
                    error_y, error_x = dy / length - given_y[x], dx / length - given_x[x]
                    total += error_y * error_y + error_x * error_x
                    n += 1
        errors[cells[k]] = total / n


@njit(cache=True, nogil=True)
def largest_box(boxes: NDArray[np.int64], cells: NDArray[np.int64]) -> int:
    """Give the flat size of the largest padded box among `cells`."""
    largest = 0
    for k in range(cells.size):
        box = boxes[cells[k]]
        largest = max(largest, (box[2] - box[0] + 2) * (box[3] - box[1] + 1) + 1)
    return largest
