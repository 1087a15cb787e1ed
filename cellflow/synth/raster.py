"""Kernels that draw outlines, lines and discs into arrays; pixel centres are integers."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

LINE_REACH = 2.2
"""The bell-shaped profile of a line is cut off at this many radii, where it is below 1 %."""


def fill_outline(
    outline: NDArray[np.float64], top: int, left: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Rasterise a closed outline in a window.

    Parameters
    ----------
    outline : (K, 2) float64
        Vertices (y, x), px; the last is joined to the first.
    top, left : int
        Position of the window's first pixel in the image.
    shape : (h, w)
        Of the window.

    Returns
    -------
    (h, w) bool
        Pixels inside, by the even-odd rule: where an outline overlaps itself, pieces are left out.

    Examples
    --------
    >>> square = np.array([(0.5, 0.5), (0.5, 3.5), (2.5, 3.5), (2.5, 0.5)])
    >>> fill_outline(square, 0, 0, (4, 5)).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    inside = np.zeros(shape, np.bool_)
    _fill(np.ascontiguousarray(outline, np.float64), top, left, inside)
    return inside


@njit(cache=True, nogil=True)
def _fill(outline, top, left, inside):  # type: ignore[no-untyped-def]
    n_vertices = len(outline)
    crossings = np.empty(n_vertices)
    for row in range(inside.shape[0]):
        y, n_crossings = float(row + top), 0
        for vertex in range(n_vertices):
            y0, x0 = outline[vertex]
            y1, x1 = outline[(vertex + 1) % n_vertices]
            if (y0 <= y) != (y1 <= y):
                crossings[n_crossings] = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                n_crossings += 1
        ordered = np.sort(crossings[:n_crossings])
        for pair in range(0, n_crossings - 1, 2):
            first = max(int(np.ceil(ordered[pair])) - left, 0)
            last = min(int(np.ceil(ordered[pair + 1])) - left, inside.shape[1])
            for column in range(first, last):
                inside[row, column] = True


@njit(cache=True, nogil=True)
def draw_lines(points, radii, heights, offsets, layer):  # type: ignore[no-untyped-def]
    """Draw lines with a bell-shaped profile; where they cross, the larger value wins.

    Parameters
    ----------
    points : (P, 2) float64
        Vertices (y, x) of all lines, concatenated, px.
    radii, heights : (P,) float64
        At each vertex: radius in px, and peak value.
    offsets : (S + 1,) int64
        The vertices of line s are ``offsets[s]:offsets[s + 1]``.
    layer : (H, W) float32
        Changed in place.
    """
    height, width = layer.shape
    for line in range(len(offsets) - 1):
        for start in range(offsets[line], offsets[line + 1] - 1):
            y0, x0, y1, x1 = points[start, 0], points[start, 1], 0.0, 0.0
            y1, x1 = points[start + 1, 0], points[start + 1, 1]
            reach = LINE_REACH * max(radii[start], radii[start + 1])
            dy, dx = y1 - y0, x1 - x0
            squared = max(dy * dy + dx * dx, 1e-9)
            for y in range(
                max(0, int(min(y0, y1) - reach)), min(height, int(max(y0, y1) + reach) + 2)
            ):
                for x in range(
                    max(0, int(min(x0, x1) - reach)), min(width, int(max(x0, x1) + reach) + 2)
                ):
                    along = min(max(((y - y0) * dy + (x - x0) * dx) / squared, 0.0), 1.0)
                    off_y, off_x = y - y0 - along * dy, x - x0 - along * dx
                    radius = radii[start] + along * (radii[start + 1] - radii[start])
                    share = (off_y * off_y + off_x * off_x) / (radius * radius)
                    if share < LINE_REACH * LINE_REACH:
                        peak = heights[start] + along * (heights[start + 1] - heights[start])
                        layer[y, x] = max(layer[y, x], np.float32(peak * np.exp(-share)))


@njit(cache=True, nogil=True)
def draw_discs(centres, radii, heights, layer):  # type: ignore[no-untyped-def]
    """Add round caps ``height · (1 - (distance / radius)²)``, 0 outside the radius.

    Parameters
    ----------
    centres : (D, 2) float64
        (y, x), px.
    radii, heights : (D,) float64
        Radius in px, and peak value, which may be negative.
    layer : (H, W) float32
        Changed in place.
    """
    height, width = layer.shape
    for disc in range(len(centres)):
        (y0, x0), radius = centres[disc], radii[disc]
        for y in range(max(0, int(y0 - radius)), min(height, int(y0 + radius) + 2)):
            for x in range(max(0, int(x0 - radius)), min(width, int(x0 + radius) + 2)):
                share = ((y - y0) ** 2 + (x - x0) ** 2) / (radius * radius)
                if share < 1.0:
                    layer[y, x] += np.float32(heights[disc] * (1.0 - share))
