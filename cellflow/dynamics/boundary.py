"""Growing and shrinking of labelled cells, also by fractions of a pixel."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.dynamics.follow import checked_labels


def shift_boundaries(
    labels: NDArray[Any], cellprob: NDArray[Any], shift: float
) -> NDArray[np.int32]:
    """Grow or shrink every cell by `shift` pixels, without overlap and without losing a cell.

    Parameters
    ----------
    labels : (H, W) integer
        0 background.
    cellprob : (H, W) float32
        Logit; decides which pixels of a ring belong to a fraction of it.
    shift : float
        Pixels; positive grows, negative shrinks.

    Returns
    -------
    (H, W) int32
        A new array with the same labels.

    Raises
    ------
    LabelError
        The shapes do not fit.

    Notes
    -----
    Cells grow or shrink by one ring of pixels at a time. The outer ring of a cell is the background
    that touches it, the inner ring those of its pixels that touch another label; the border of the
    image is not a boundary. Rings alternate between 4- and 8-connectivity, so that a disc grows to
    an octagon. If the last ring is a fraction f, every cell gains or loses that share of its ring,
    rounded to whole pixels: it gains the pixels with the largest `cellprob`, or loses those with
    the smallest; among equals the first in raster order. A background pixel between cells goes to
    the cell that it touches most, among equals to the smallest label. A cell that a ring would
    remove stays as it is.

    Examples
    --------
    >>> labels = np.array([[0, 0, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]])
    >>> shift_boundaries(labels, np.zeros((3, 4), np.float32), 1.0)
    array([[0, 1, 2, 0],
           [1, 1, 2, 2],
           [0, 1, 2, 0]], dtype=int32)
    """
    shifted, cellprob = checked_labels(labels, cellprob)
    if shift == 0 or not shifted.any():
        return shifted
    n_whole = int(abs(shift))
    shares = [1.0] * n_whole + ([abs(shift) - n_whole] if abs(shift) > n_whole else [])
    for turn, share in enumerate(shares):
        by_corners = turn % 2 == 1
        if shift > 0:
            pixels, owners = list_outer_ring(shifted, by_corners)
            chosen = _best_share(owners, cellprob.ravel()[pixels], share)
            shifted.ravel()[pixels[chosen]] = owners[chosen]
        else:
            pixels = list_inner_ring(shifted, by_corners)
            if len(pixels) == 0:  # a cell fills the image
                break
            owners = shifted.ravel()[pixels]
            is_lost = np.bincount(owners) == np.bincount(shifted.ravel())[: owners.max() + 1]
            pixels, owners = pixels[~is_lost[owners]], owners[~is_lost[owners]]
            chosen = _best_share(owners, -cellprob.ravel()[pixels], share)
            shifted.ravel()[pixels[chosen]] = 0
    return shifted


def _best_share(
    owners: NDArray[np.int32], merit: NDArray[np.float32], share: float
) -> NDArray[np.int64]:
    """Give the indices of the `share` of every owner's pixels with the highest `merit`."""
    if share == 1:
        return np.arange(len(owners))
    order = np.lexsort((-merit, owners))
    sizes = np.bincount(owners) if len(owners) else np.zeros(0, np.int64)
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(owners)) - starts[owners[order]]
    taken: NDArray[np.int64] = order[rank < np.rint(share * sizes)[owners[order]]]
    return taken


@njit(cache=True, nogil=True)
def list_outer_ring(
    labels: NDArray[np.int32], by_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Give the background pixels that touch a cell, in raster order, and which cell.

    Parameters
    ----------
    labels : (H, W) int32, C-contiguous
    by_corners : bool
        Whether pixels that share only a corner touch (8-connectivity).

    Returns
    -------
    pixels : (M,) int64
        Flat indices.
    owners : (M,) int32
        The most frequent label among the touching pixels, the smallest among equals.
    """
    height, width = labels.shape
    pixels, owners = np.empty(labels.size, np.int64), np.empty(labels.size, np.int32)
    near, n = np.empty(8, np.int32), 0
    for y in range(height):
        row, above, below = labels[y], labels[max(0, y - 1)], labels[min(height - 1, y + 1)]
        for x in range(width):
            left, right = max(0, x - 1), min(width - 1, x + 1)
            # At the border of the image the pixel itself, which is 0, replaces missing neighbours.
            touching = above[x] | below[x] | row[left] | row[right]
            if by_corners:
                touching |= above[left] | above[right] | below[left] | below[right]
            if row[x] != 0 or touching == 0:
                continue
            n_near = 0
            for i in range(max(0, y - 1), min(height, y + 2)):
                for j in range(max(0, x - 1), min(width, x + 2)):
                    if labels[i, j] != 0 and (by_corners or i == y or j == x):
                        near[n_near] = labels[i, j]
                        n_near += 1
            pixels[n], owners[n] = y * width + x, most_frequent(near[:n_near])
            n += 1
    return pixels[:n].copy(), owners[:n].copy()


@njit(cache=True, nogil=True)
def most_frequent(values: NDArray[np.int32]) -> int:
    """Give the most frequent value, the smallest among equals; the array must not be empty."""
    best, best_count = values[0], 0
    for value in values:
        count = 0
        for other in values:
            count += other == value
        if count > best_count or (count == best_count and value < best):
            best, best_count = value, count
    return int(best)


@njit(cache=True, nogil=True)
def list_inner_ring(labels: NDArray[np.int32], by_corners: bool) -> NDArray[np.int64]:
    """Give the flat indices of the cells' pixels that touch another label, in raster order.

    Parameters are those of `list_outer_ring`.
    """
    height, width = labels.shape
    pixels, n = np.empty(labels.size, np.int64), 0
    for y in range(height):
        row, above, below = labels[y], labels[max(0, y - 1)], labels[min(height - 1, y + 1)]
        for x in range(width):
            label = row[x]
            if label == 0:
                continue
            # At the border of the image the pixel itself replaces missing neighbours.
            left, right = max(0, x - 1), min(width - 1, x + 1)
            is_edge = (
                (above[x] != label)
                | (below[x] != label)
                | (row[left] != label)
                | (row[right] != label)
            )
            if by_corners and not is_edge:
                is_edge = (
                    (above[left] != label)
                    | (above[right] != label)
                    | (below[left] != label)
                    | (below[right] != label)
                )
            if is_edge:
                pixels[n] = y * width + x
                n += 1
    return pixels[:n].copy()
