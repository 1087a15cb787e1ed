"""Traps: regions around a resting point of the flow where a walk can be stopped early.

Between four pixel centres the flow is bilinear, so one step maps the square between them exactly by
``F(p* + d) = p* + J d + c d_y d_x``, where p* is a resting point, J the Jacobian of the step and c
its cross term. In a basis P of eigenvectors (for a spiral: of their real and imaginary parts) J
shrinks vectors by λ = |largest eigenvalue|. With ``r = |P⁻¹ d|``, r after a step is at most
``λ r + κ r²``, where κ is |P⁻¹ c| times the largest ``d_y d_x`` at ``r = 1``. So if λ < 1, the
ellipse ``r <= (1 - λ) / κ`` maps into itself. Reduced until it lies inside the square, it is a
trap: a walk that has entered it never leaves the square, and its end has the integer part of p*.

The test allows for the rounding of a float32 step, so traps do not change the pixel of any end.
`docs/decisions/0021-traps.md` says what traps save.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

N_NUMBERS = 7
"""Numbers per trap: p* relative to its square (y, x), P⁻¹ by rows, the largest r²."""
N_NEWTON = 10
"""Newton iterations, at most. Each doubles the digits; without convergence there is no trap."""
GAP = 64
"""Cells of a row that are fewer pixels of background apart are processed together."""
SAFETY = 0.7
"""Size of a trap as a share of the largest possible one."""
MIN_DETERMINANT = 0.02
"""Smallest determinant of the basis; with eigenvectors closer to parallel, traps are too thin to be
useful."""
SETTLED = 1e-9
"""Flow at which Newton's method has converged, pixels; far below the float32 resolution of a
coordinate."""


@njit(cache=True, nogil=True)
def list_traps(
    flows: NDArray[np.float32],
    field: NDArray[np.float32],
    pixels: NDArray[np.int32],
    first: int,
    last: int,
    rounding: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the traps in the squares below and right of some cell pixels.

    Parameters
    ----------
    flows : (2, H, W) float32, C-contiguous
    field : (H + 1, W + 1, 2) float32
        The same within cells, 0 outside; see `gather_cell_pixels`.
    pixels : (2, P) int32
        Row and column of the cell pixels, in raster order.
    first, last : int
        The first of the pixels to use, and the one after the last; whole rows.
    rounding : float
        Largest rounding error of a point in one float32 step, pixels.

    Returns
    -------
    squares : (K, 2) int64
        Row and column of the upper left pixel of each square with a trap.
    traps : (K, 7) float32
        See `N_NUMBERS`.

    Notes
    -----
    Squares that touch background are left out: almost none of them has a trap.
    Cost: one pass over the squares of cell pixels and of short gaps between them, vectorised along
    the row; Newton's method where the flow may come to rest.
    """
    squares, traps = np.empty((256, 2), np.int64), np.empty((256, N_NUMBERS), np.float32)
    may_rest = np.empty(flows.shape[2], np.int32)
    n, at = 0, first
    while at < last and pixels[0, at] + 1 < flows.shape[1]:
        y, left = pixels[0, at], pixels[1, at]
        right = left
        while at < last and pixels[0, at] == y and pixels[1, at] < right + GAP:
            right = pixels[1, at]
            at += 1
        find_rests(
            flows[0, y, left : right + 1],
            flows[0, y + 1, left : right + 1],
            flows[1, y, left : right + 1],
            flows[1, y + 1, left : right + 1],
            may_rest[left:right],
        )
        if n + right - left > len(squares):
            more = len(squares) + right - left
            squares = np.concatenate((squares, np.empty((more, 2), np.int64)))
            traps = np.concatenate((traps, np.empty((more, N_NUMBERS), np.float32)))
        n += fit_traps(field, y, left, may_rest[left:right], rounding, squares[n:], traps[n:])
    return squares[:n], traps[:n]


@njit(cache=True, nogil=True)
def fit_traps(
    field: NDArray[np.float32],
    y: int,
    left: int,
    may_rest: NDArray[np.int32],
    rounding: float,
    squares: NDArray[np.int64],
    traps: NDArray[np.float32],
) -> int:
    """Write the traps of a row of squares; give their number.

    Parameters
    ----------
    field, rounding
        See `list_traps`.
    y, left : int
        Row and column of the first square.
    may_rest : (n,) int32
        See `find_rests`.
    squares, traps
        See `list_traps`; K >= n.
    """
    n = 0
    for k in range(may_rest.size):
        if may_rest[k] == 0 or not is_inside_cell(field, y, left + k):
            continue
        if fit_trap(field[y : y + 2, left + k : left + k + 2], rounding, traps[n]):
            squares[n, 0], squares[n, 1] = y, left + k
            n += 1
    return n


@njit(cache=True, nogil=True)
def find_rests(
    upper_y: NDArray[np.float32],
    lower_y: NDArray[np.float32],
    upper_x: NDArray[np.float32],
    lower_x: NDArray[np.float32],
    may_rest: NDArray[np.int32],
) -> None:
    """Tell which squares of a row may contain an attracting resting point.

    Parameters
    ----------
    upper_y, lower_y, upper_x, lower_x : (n + 1,) float32
        dy of the upper and the lower row of pixels, then dx.
    may_rest : (n,) int32, written
        Whether both components of the flow change sign among the four pixels, and the flow
        converges: its divergence, which the code doubles, lies between -4 and 0.

    Notes
    -----
    Cost: some 25 operations per square, vectorised: 3 processor cycles.
    """
    a, b, c, d = upper_y, upper_y[1:], lower_y, lower_y[1:]
    e, f, g, h = upper_x, upper_x[1:], lower_x, lower_x[1:]
    for x in range(may_rest.size):
        divergence = ((c[x] + d[x]) - (a[x] + b[x])) + ((f[x] + h[x]) - (e[x] + g[x]))
        up = (a[x] > 0) & (b[x] > 0) & (c[x] > 0) & (d[x] > 0)
        down = (a[x] < 0) & (b[x] < 0) & (c[x] < 0) & (d[x] < 0)
        right = (e[x] > 0) & (f[x] > 0) & (g[x] > 0) & (h[x] > 0)
        left = (e[x] < 0) & (f[x] < 0) & (g[x] < 0) & (h[x] < 0)
        gathers = (divergence < 0) & (divergence > -8)
        may_rest[x] = gathers & ~(up | down | left | right)


@njit(cache=True, nogil=True)
def is_inside_cell(field: NDArray[np.float32], y: int, x: int) -> bool:
    """Tell whether all four pixels of a square have some flow, as pixels in cells do."""
    for i in range(y, y + 2):
        for j in range(x, x + 2):
            if field[i, j, 0] == 0.0 and field[i, j, 1] == 0.0:
                return False
    return True


@njit(cache=True, nogil=True)
def fit_trap(corners: NDArray[np.float32], rounding: float, trap: NDArray[np.float32]) -> bool:
    """Compute the trap of a square; tell whether it has one.

    Parameters
    ----------
    corners : (2, 2, 2) float32
        Flow at the four pixels.
    rounding : float
        See `list_traps`.
    trap : (7,) float32, written

    Notes
    -----
    Cost: up to ten Newton iterations and some 60 operations, in float64.
    """
    # flow = base + down * y + right * x + cross * y * x, in each direction
    base = (np.float64(corners[0, 0, 0]), np.float64(corners[0, 0, 1]))
    down = (corners[1, 0, 0] - base[0], corners[1, 0, 1] - base[1])
    right = (corners[0, 1, 0] - base[0], corners[0, 1, 1] - base[1])
    cross = (
        corners[1, 1, 0] - base[0] - down[0] - right[0],
        corners[1, 1, 1] - base[1] - down[1] - right[1],
    )
    y, x = resting_point(base, down, right, cross)
    room_y, room_x = min(y, 1 - y) - 4 * rounding, min(x, 1 - x) - 4 * rounding
    if not (room_y > 0 and room_x > 0):
        return False
    shrink, p, q, r, s = shrinking_basis(
        1 + down[0] + cross[0] * x,
        right[0] + cross[0] * y,
        down[1] + cross[1] * x,
        1 + right[1] + cross[1] * y,
    )
    determinant = p * s - q * r
    if not shrink < 1 or abs(determinant) < MIN_DETERMINANT:
        return False
    a, b, c, d = s / determinant, -q / determinant, -r / determinant, p / determinant
    reach_y, reach_x = np.hypot(p, q), np.hypot(r, s)
    bend = np.hypot(a * cross[0] + b * cross[1], c * cross[0] + d * cross[1]) * reach_y * reach_x
    size = min(room_y / reach_y, room_x / reach_x)
    if bend * size > SAFETY * (1 - shrink):
        size = SAFETY * (1 - shrink) / bend
    slack = 2 * rounding * np.sqrt(a * a + b * b + c * c + d * d)
    if (1 - shrink - bend * size) * size < slack:
        return False
    trap[0], trap[1], trap[6] = y, x, (0.999 * size) ** 2
    trap[2], trap[3], trap[4], trap[5] = a, b, c, d
    return True


@njit(cache=True, nogil=True)
def resting_point(
    base: tuple[float, float],
    down: tuple[float, float],
    right: tuple[float, float],
    cross: tuple[float, float],
) -> tuple[float, float]:
    """Solve ``base + down * y + right * x + cross * y * x = 0`` by Newton's method.

    Returns
    -------
    y, x : float
        NaN if the iteration does not converge, or leaves the surroundings of the square.
    """
    y, x = 0.5, 0.5
    for _ in range(N_NEWTON):
        flow_y = base[0] + down[0] * y + right[0] * x + cross[0] * y * x
        flow_x = base[1] + down[1] * y + right[1] * x + cross[1] * y * x
        if abs(flow_y) + abs(flow_x) < SETTLED:
            return y, x
        yy, yx = down[0] + cross[0] * x, right[0] + cross[0] * y
        xy, xx = down[1] + cross[1] * x, right[1] + cross[1] * y
        determinant = yy * xx - yx * xy
        if abs(determinant) < SETTLED:
            break
        y -= (xx * flow_y - yx * flow_x) / determinant
        x -= (yy * flow_x - xy * flow_y) / determinant
        if not (-1.0 < y < 2.0 and -1.0 < x < 2.0):
            break
    return np.nan, np.nan


@njit(cache=True, nogil=True)
def shrinking_basis(
    yy: float, yx: float, xy: float, xx: float
) -> tuple[float, float, float, float, float]:
    """Give |largest eigenvalue| of a 2×2 matrix, and a basis in which that is its 2-norm.

    Parameters
    ----------
    yy, yx, xy, xx : float
        The matrix by rows.

    Returns
    -------
    shrink : float
        2-norm of the matrix in the basis: the factor by which it shrinks vectors.
    p, q, r, s : float
        The basis by rows: columns (p, r) and (q, s).

    Notes
    -----
    A matrix with (nearly) equal eigenvalues may have only one eigenvector. Then the result is the
    standard basis and the Frobenius norm, an upper bound of the 2-norm.
    """
    half = (yy + xx) / 2
    discriminant = ((yy - xx) / 2) ** 2 + yx * xy
    if discriminant < -1e-6:
        turn = np.sqrt(-discriminant)
        unit = np.sqrt(abs(yx * turn))
        return np.hypot(half, turn), yx / unit, 0.0, (half - yy) / unit, turn / unit
    if discriminant < 1e-6:
        return np.sqrt(yy * yy + yx * yx + xy * xy + xx * xx), 1.0, 0.0, 0.0, 1.0
    root = np.sqrt(discriminant)
    large, small = half + root, half - root
    if abs(yx) >= abs(xy):
        p, r, q, s = yx, large - yy, yx, small - yy
    else:
        p, r, q, s = large - xx, xy, small - xx, xy
    if abs(yx) + abs(xy) < 1e-9:
        p, r, q, s = 1.0, 0.0, 0.0, 1.0
    first, second = np.hypot(p, r), np.hypot(q, s)
    return max(abs(large), abs(small)), p / first, q / second, r / first, s / second
