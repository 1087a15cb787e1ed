"""Limits of annotations: how a boundary that is one pixel off changes the IoU, by cell size.

Two annotators differ by about one pixel. A prediction that is perfect except for that has the IoU
computed here, so whether it passes a higher threshold is a matter of luck.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

from cellflow.data.rle import draw_cell
from cellflow.metrics.matching import THRESHOLDS
from cellflow.records import CellMasks

CHANGES = ("erosion", "dilation", "shift", "mix")
"""Changes of a cell by one pixel: removed all around, added all around, or shifted by one pixel in
each of the eight directions. The mix is all three, each equally likely."""
AREA_EDGES = (0, 50, 100, 200, 400, 800, 1600, 3200)
"""Smallest areas of the size classes, pixels; the last class is open."""
SHIFTS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLimits:
    """Annotation limits of the cells of one size class.

    Parameters
    ----------
    low, high : int or None
        Areas in the class, pixels: from `low`, below `high`; None = open.
    n_cells : int
    diameter : float
        Median over cells of the diameter of a disc with the cell's area, pixels.
    quartiles : mapping of str to (float, float, float)
        Lower quartile, median and upper quartile of the IoU after each of `CHANGES`.
    survives : float or None
        The largest IoU threshold that three of four cells still pass after the mix; None if they
        do not even pass 0.50.
    """

    low: int
    high: int | None
    n_cells: int
    diameter: float
    quartiles: Mapping[str, tuple[float, float, float]]
    survives: float | None


def annotation_limits(images: Iterable[CellMasks]) -> tuple[SizeLimits, ...]:
    """Give the IoU of cells with themselves after a change of one pixel, by size.

    Parameters
    ----------
    images : iterable of CellMasks
        The truth; consumed once.

    Returns
    -------
    tuple of SizeLimits
        Of the size classes that are not empty, in ascending order.

    Notes
    -----
    Each cell is changed on its own, whatever lies beside it, and cropped to the image. Erosion and
    dilation use the four neighbours.
    """
    parts = [changed_ious(masks) for masks in images]
    areas = np.concatenate([np.zeros(0, np.int64), *(areas for areas, _ in parts)])
    ious = np.concatenate([np.zeros((0, 2 + len(SHIFTS))), *(ious for _, ious in parts)])
    classes = []
    for low, high in zip(AREA_EDGES, (*AREA_EDGES[1:], None), strict=True):
        chosen = (areas >= low) & (areas < (np.inf if high is None else high))
        if chosen.any():
            classes.append(_summarize(low, high, areas[chosen], ious[chosen]))
    return tuple(classes)


def changed_ious(masks: CellMasks) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the IoU of each cell with itself after each change.

    Returns
    -------
    areas : (N,) int64
    ious : (N, 10) float64
        After erosion, dilation and a shift to each of the eight neighbours.
    """
    ious = np.zeros((len(masks), 2 + len(SHIFTS)))
    for k in range(len(masks)):
        cell = draw_cell(masks, k, margin=1)
        ious[k, 0] = _iou(cell, binary_erosion(cell, border_value=1))
        ious[k, 1] = _iou(cell, binary_dilation(cell))
        for column, (dy, dx) in enumerate(SHIFTS, 2):
            ious[k, column] = _iou(cell, _moved(cell, dy, dx))
    return masks.areas, ious


def _moved(cell: NDArray[np.bool_], dy: int, dx: int) -> NDArray[np.bool_]:
    moved = np.zeros_like(cell)
    height, width = cell.shape
    moved[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = cell[
        max(0, -dy) : height + min(0, -dy), max(0, -dx) : width + min(0, -dx)
    ]
    return moved


def _iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(first & second) / np.count_nonzero(first | second))


def _summarize(
    low: int, high: int | None, areas: NDArray[np.int64], ious: NDArray[np.float64]
) -> SizeLimits:
    shifted = ious[:, 2:]
    # In the mix, the eight shifts together have the same weight as each of the other changes.
    mix = np.concatenate([np.repeat(ious[:, :2], len(SHIFTS), axis=0).T.ravel(), shifted.ravel()])
    pools = {
        "erosion": ious[:, 0],
        "dilation": ious[:, 1],
        "shift": shifted.ravel(),
        "mix": mix,
    }
    quartiles = {
        name: np.quantile(pool, [0.25, 0.5, 0.75]).tolist() for name, pool in pools.items()
    }
    passed = [float(t) for t in THRESHOLDS if quartiles["mix"][0] > t]
    return SizeLimits(
        low=low,
        high=high,
        n_cells=len(areas),
        diameter=float(np.median(2 * np.sqrt(areas / np.pi))),
        quartiles={name: (float(a), float(b), float(c)) for name, (a, b, c) in quartiles.items()},
        survives=max(passed, default=None),
    )
