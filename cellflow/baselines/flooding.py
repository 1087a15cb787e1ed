"""Watershed by flooding, which divides plateaus in the middle.

scipy's ``watershed_ift`` minimises the largest step along a path, so on a plateau, such as the rims
of touching cells, the first marker to arrive takes all of it.
"""

import heapq
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def flood(
    relief: NDArray[np.float32], markers: NDArray[np.int32], foreground: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Divide the foreground among markers by a watershed.

    Parameters
    ----------
    relief : (H, W) float32
        Pixels are flooded from low to high; among equal ones, in the order in which they are
        reached.
    markers : (H, W) int32
        1…N at the sources of water, 0 elsewhere.
    foreground : (H, W) bool
        Where water may flow, from each pixel to its four neighbours.

    Returns
    -------
    (H, W) int32
        The marker whose water reaches each pixel; 0 if none does.

    References
    ----------
    Meyer, "Un algorithme optimal pour la ligne de partage des eaux", 8ème congrès RFIA 1991.

    Examples
    --------
    >>> relief = np.array([[0, 1, 1, 1, 1, 0]], np.float32)
    >>> flood(relief, np.array([[1, 0, 0, 0, 0, 2]], np.int32), relief >= 0)
    array([[1, 1, 1, 2, 2, 2]], dtype=int32)
    """
    labels = np.where(foreground, markers, 0).astype(np.int32)
    _flood(np.ascontiguousarray(relief, np.float32), np.ascontiguousarray(foreground), labels)
    return labels


@njit(cache=True, nogil=True)
def _flood(relief: Any, foreground: Any, labels: Any) -> None:
    """Spread `labels` (H, W) in place; all arrays are C-contiguous and of one shape."""
    height, width = labels.shape
    # Heap of (height of the pixel, order in which it was reached, its index).
    shore = [(np.float32(0), 0, 0)]
    shore.clear()
    n_reached = 0
    for pixel in range(height * width):
        if labels[pixel // width, pixel % width] > 0:
            heapq.heappush(shore, (np.float32(-np.inf), n_reached, pixel))
            n_reached += 1
    while len(shore) > 0:
        _, _, pixel = heapq.heappop(shore)
        row, column = pixel // width, pixel % width
        for side in range(4):
            y = row + (side == 1) - (side == 0)
            x = column + (side == 3) - (side == 2)
            if y < 0 or x < 0 or y >= height or x >= width:
                continue
            if foreground[y, x] and labels[y, x] == 0:
                labels[y, x] = labels[row, column]
                heapq.heappush(shore, (relief[y, x], n_reached, y * width + x))
                n_reached += 1
