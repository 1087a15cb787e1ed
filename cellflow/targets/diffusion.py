"""Heat that spreads from a cell's centre, and the flow that climbs it: the kernels.

The algorithm is that of Cellpose 3.1 on the CPU (`masks_to_flows_cpu`): in the cell's bounding
box, padded by one pixel, ``2 (h + w + 4)`` times add 1 at the centre and replace every pixel of the
cell by the mean of its 3×3 neighbourhood, 0 outside the cell; the flow is the normalised central
difference. Pieces of a cell that do not touch the piece with the centre stay cold: flow 0.

Heat is in units of 2⁻¹⁰⁰, so that float32 holds it down to some 70 pixels from the centre of a line
one pixel thin. A cell in which any pixel stays colder than float32 resolves is done again in
float64, which is what Cellpose computes in.

Stringer et al., Cellpose: a generalist algorithm for cellular segmentation, Nature Methods 2021.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

SOURCE = 2.0**100
"""Heat added at the centre a step; a power of 2, so that no rounding depends on it."""
COLD = 1e-30
"""Heat below which float32 may have lost digits: its smallest normal number is 1.2e-38."""
TINY = 1e-60 * SOURCE
"""Added to a flow's length: Cellpose's 1e-60 in our unit of heat. 0 stays 0."""
NINTH = 1.0 / 9.0
LANES = 32
"""Numbers that a vectorised loop takes at a time; what is left over it does one by one."""


@njit(cache=True, nogil=True)
def place_cell(
    labels: NDArray[np.int32], value: int, box: NDArray[np.int64], weights: NDArray[Any]
) -> int:
    """Write 1/9 where the padded box is inside the cell, else 0; give the centre.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous
    value : int
        The cell's label.
    box : (4,) int64
        Its bounding box, h x w pixels, as in `CellBoxes`.
    weights : (S,) float, written
        ``S >= (h + 2) * (w + 1) + 1``. Rows of w + 1: column 0 pads the row's left end and the
        right end of the row above.

    Returns
    -------
    int
        Flat index of the centre: the cell's pixel nearest its mean, the first in raster order.

    Notes
    -----
    Cost: one look at each pixel of the box.
    """
    height, width = box[2] - box[0], box[3] - box[1]
    stride = width + 1
    weights[:] = 0.0
    n, sum_y, sum_x = 0, 0, 0
    for y in range(height):
        row = labels[box[0] + y, box[1] : box[3]]
        inside = weights[(y + 1) * stride + 1 : (y + 2) * stride]
        n_row = 0
        for x in range(width):
            inside[x] = NINTH if row[x] == value else 0.0
            n_row += row[x] == value
            sum_x += x + 1 if row[x] == value else 0
        n += n_row
        sum_y += n_row * (y + 1)
    return int(nearest_to(sum_y / n, sum_x / n, weights[: (height + 2) * stride], stride))


@njit(cache=True, nogil=True)
def nearest_to(mean_y: float, mean_x: float, weights: NDArray[Any], stride: int) -> int:
    """Give the flat index of the cell's pixel nearest a point of its padded box.

    Notes
    -----
    Of the four pixels around the point the nearest is nearer than any other pixel; only if it does
    not belong to the cell are all pixels looked at. Of equally near ones the first counts.
    """
    top, left = int(mean_y), int(mean_x)
    nearest = np.inf
    for y in range(top, top + 2):
        for x in range(left, left + 2):
            nearest = min(nearest, (x - mean_x) ** 2 + (y - mean_y) ** 2)
    for y in range(top, top + 2):
        for x in range(left, left + 2):
            is_nearest = (x - mean_x) ** 2 + (y - mean_y) ** 2 == nearest
            if is_nearest and weights[y * stride + x] != 0.0:
                return y * stride + x
    nearest, centre = np.inf, 0
    for y in range(1, weights.size // stride - 1):
        for x in range(1, stride):
            if weights[y * stride + x] != 0.0:
                distance = (x - mean_x) ** 2 + (y - mean_y) ** 2
                if distance < nearest:
                    nearest, centre = distance, y * stride + x
    return centre


@njit(cache=True, nogil=True)
def diffuse(
    heat: NDArray[Any],
    sums: NDArray[Any],
    weights: NDArray[Any],
    centre: int,
    stride: int,
    n_steps: int,
) -> None:
    """Let heat spread in place: Jacobi steps with the 3×3 mean as two sums of three.

    Parameters
    ----------
    heat : ((h + 2) * stride + 1 + LANES,) float32 or float64, written
        0 at the start.
    sums : as `heat`, scratch
        0 at the start.
    weights : as `heat`
        1/9 inside the cell, 0 outside, see `place_cell`.
    centre, stride, n_steps : int

    Notes
    -----
    Cost: 4 additions and 1 product a pixel of the box and step, in unit stride without a branch.
    Bound: 7 loads and 2 stores, of which a processor makes two and one a cycle. They come out of
    the first cache, most across the border of two of its lines, which counts twice: 5 to 6 cycles
    for 8 pixels.

    Heat has gone at most one row a step, so the first steps touch only the rows around the centre.
    Loops are as long as whole vectors fill: what they do beyond the rows is 0. The two outer terms
    are added first: a symmetric cell then stays symmetric to the last bit.
    """
    last_row = (heat.size - LANES) // stride - 1
    centre_row = centre // stride
    for step in range(n_steps):
        heat[centre] += SOURCE
        # Views instead of offsets: Numba then needs no negative-index check, and LLVM vectorises.
        start = max(1, centre_row - step - 1) * stride + 1
        size = min(last_row, centre_row + step + 2) * stride - start
        n, n_sums = -(-size // LANES) * LANES, -(-(size + 2 * stride) // LANES) * LANES
        left, right = heat[start - stride - 1 :], heat[start - stride + 1 :]
        here, across = heat[start - stride :], sums[start - stride :][:n_sums]
        for i in range(across.size):
            across[i] = (left[i] + right[i]) + here[i]
        middle, below = sums[start:], sums[start + stride :]
        inside, out = weights[start:], heat[start:][:n]
        for i in range(out.size):
            out[i] = ((across[i] + below[i]) + middle[i]) * inside[i]


@njit(cache=True, nogil=True)
def heat_cell(
    labels: NDArray[np.int32], value: int, box: NDArray[np.int64], scratch: NDArray[Any]
) -> bool:
    """Heat one cell; tell whether each of its pixels is warm enough for float32.

    Parameters
    ----------
    labels, value, box
        See `place_cell`.
    scratch : (4, S) float32 or float64, written
        ``S >= (h + 2) * (w + 1) + 1 + LANES``. Row 0 becomes the heat over the padded box, row 2
        the weights of `place_cell`.

    Notes
    -----
    Cost: (h + 2) (w + 1) pixels × 2 (h + w + 4) steps, each at the cost of `diffuse`.
    """
    height, width = box[2] - box[0], box[3] - box[1]
    size = (height + 2) * (width + 1) + 1 + LANES
    heat, sums, weights = scratch[0, :size], scratch[1, :size], scratch[2, :size]
    heat[:] = 0.0
    sums[:] = 0.0
    centre = place_cell(labels, value, box, weights)
    diffuse(heat, sums, weights, centre, width + 1, 2 * (height + width + 4))
    n_cold = 0
    for i in range(size):
        n_cold += (weights[i] != 0.0) & (heat[i] < COLD)
    return n_cold == 0


@njit(cache=True, nogil=True, error_model="numpy")
def climb(scratch: NDArray[Any], height: int, stride: int) -> None:
    """Write the flows of the cell in `scratch` over its padded box: dy into row 1, dx into row 3.

    Parameters
    ----------
    scratch : (4, S) float, written
        See `heat_cell`.
    height, stride : int
        Rows of the box and length of a row of the padded box.

    Notes
    -----
    Cost: a square root and a division a pixel of the box, vectorised; they hide all else. In
    float64, since the square of a heat in our unit is more than float32 holds.
    """
    n = -(-height * stride // LANES) * LANES
    heat, dy, dx = scratch[0], scratch[1, stride:][:n], scratch[3, stride:][:n]
    below = heat[2 * stride :]
    for i in range(dy.size):
        dy[i] = below[i] - heat[i]
    left, right = heat[stride - 1 :], heat[stride + 1 :]
    for i in range(dx.size):
        dx[i] = right[i] - left[i]
    for i in range(dx.size):
        y, x = np.float64(dy[i]), np.float64(dx[i])
        scale = 1.0 / (TINY + np.sqrt(y * y + x * x))
        dy[i] = y * scale
        dx[i] = x * scale


@njit(cache=True, nogil=True)
def write_flows(scratch: NDArray[Any], box: NDArray[np.int64], flows: NDArray[np.float32]) -> None:
    """Write the flows of the cell in `scratch`, see `heat_cell`, into the (2, H, W) image.

    Notes
    -----
    Only at the cell's own pixels: beside them another thread may be writing.
    """
    height, width = box[2] - box[0], box[3] - box[1]
    climb(scratch, height, width + 1)
    for y in range(height):
        first = (y + 1) * (width + 1) + 1
        dy, inside, dx = scratch[1, first:], scratch[2, first:], scratch[3, first:]
        out_y = flows[0, box[0] + y, box[1] : box[3]]
        out_x = flows[1, box[0] + y, box[1] : box[3]]
        for x in range(width):
            if inside[x] != 0.0:
                out_y[x] = dy[x]
                out_x[x] = dx[x]


@njit(cache=True, nogil=True)
def mean_error(scratch: NDArray[Any], box: NDArray[np.int64], flows: NDArray[np.float32]) -> float:
    """Give the mean squared distance between the flows of the cell in `scratch` and given ones.

    Parameters are those of `write_flows`. Cost: that of `climb`, and one look at each pixel.
    """
    height, width = box[2] - box[0], box[3] - box[1]
    climb(scratch, height, width + 1)
    total, n = 0.0, 0
    for y in range(height):
        first = (y + 1) * (width + 1) + 1
        dy, inside, dx = scratch[1, first:], scratch[2, first:], scratch[3, first:]
        given_y = flows[0, box[0] + y, box[1] : box[3]]
        given_x = flows[1, box[0] + y, box[1] : box[3]]
        for x in range(width):
            if inside[x] != 0.0:
                error_y = np.float64(dy[x]) - given_y[x]
                error_x = np.float64(dx[x]) - given_x[x]
                total += error_y * error_y + error_x * error_x
                n += 1
    return total / n


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
    size = largest_box(boxes, cells)
    single, double = np.empty((4, size), np.float32), np.empty((4, size), np.float64)
    for k in range(cells.size):
        box, value = boxes[cells[k]], values[cells[k]]
        if heat_cell(labels, value, box, single):
            write_flows(single, box, flows)
        else:
            heat_cell(labels, value, box, double)
            write_flows(double, box, flows)


@njit(cache=True, nogil=True)
def write_cell_errors(
    labels: NDArray[np.int32],
    values: NDArray[np.int32],
    boxes: NDArray[np.int64],
    cells: NDArray[np.int64],
    flows: NDArray[np.float32],
    errors: NDArray[np.float64],
) -> None:
    """Write how far given flows are from the cells' own: diffusion and comparison in one.

    Parameters
    ----------
    labels, values, boxes, cells
        See `write_cell_flows`.
    flows : (2, H, W) float32
        Pixels per step.
    errors : (N,) float64, written at `cells`
        Mean over the cell's pixels of the squared length of the difference.
    """
    size = largest_box(boxes, cells)
    single, double = np.empty((4, size), np.float32), np.empty((4, size), np.float64)
    for k in range(cells.size):
        box, value = boxes[cells[k]], values[cells[k]]
        if heat_cell(labels, value, box, single):
            errors[cells[k]] = mean_error(single, box, flows)
        else:
            heat_cell(labels, value, box, double)
            errors[cells[k]] = mean_error(double, box, flows)


@njit(cache=True, nogil=True)
def largest_box(boxes: NDArray[np.int64], cells: NDArray[np.int64]) -> int:
    """Give the length of scratch that `cells` need, see `heat_cell`."""
    largest = 0
    for k in range(cells.size):
        box = boxes[cells[k]]
        largest = max(largest, (box[2] - box[0] + 2) * (box[3] - box[1] + 1) + 1 + LANES)
    return largest
