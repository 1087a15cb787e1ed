"""The masks of the cells in a warped piece of an image; they may overlap, as annotators drew them.

Takes `CellMasks` and a `Warp`, gives one dense mask for each cell in the piece.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.records import CellMasks
from cellflow.training.augment import Warp, crop_to_image

LEAST_PIXELS = 8
"""Minimum size of a cell, crop pixels; smaller remnants at the crop's border are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TruthCrop:
    """The cells that a crop shows.

    Parameters
    ----------
    masks : (M, h, w) uint8
        1 in the cell.
    boxes : (M, 4) float32
        Corners (x1, y1, x2, y2), torchvision's order. The centre of pixel 0 lies at 0 and its edge
        at -0.5: torchvision's pooling samples features and masks at these positions.
    """

    masks: NDArray[np.uint8]
    boxes: NDArray[np.float32]

    @classmethod
    def of(cls, masks: NDArray[np.uint8]) -> "TruthCrop":
        """Drop cells that are too small, and compute the boxes of the others."""
        masks = masks[masks.sum(axis=(1, 2), dtype=np.int64) >= LEAST_PIXELS]
        boxes = np.zeros((len(masks), 4), np.float32)
        _find_boxes(masks, boxes)
        return cls(masks=masks, boxes=boxes)


def crop_masks(masks: CellMasks, warp: Warp) -> NDArray[np.uint8]:
    """Cut the cells out of an image, each by nearest neighbour.

    Parameters
    ----------
    masks : CellMasks
        N cells.
    warp : Warp

    Returns
    -------
    (M, h, w) uint8
        The cells that may be visible, in their order; some may have no pixel.
    """
    matrix = crop_to_image(warp, masks.shape)
    boxes = np.empty((len(masks), 4), np.int64)
    _bound_cells(masks.starts, masks.lengths, masks.offsets, masks.shape[1], boxes)
    areas = _crop_areas(boxes, matrix, warp.shape)
    seen = np.flatnonzero((areas[:, 0] < areas[:, 1]) & (areas[:, 2] < areas[:, 3]))
    stack = np.zeros((len(seen), *warp.shape), np.uint8)
    runs = (masks.starts, masks.lengths, masks.offsets)
    _draw_cells(*runs, *masks.shape, seen, areas[seen], matrix, stack)
    return stack


def _crop_areas(
    boxes: NDArray[np.int64], matrix: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Give the rows and columns of the crop that each box may reach, (N, 4): first, end of each."""
    inverse = np.linalg.inv(matrix[:, :2])
    # Half a pixel more on each side, since sampling is by nearest neighbour.
    low, high = boxes[:, :2] - 0.5, boxes[:, 2:] - 0.5
    corners = np.stack(
        [np.stack([y, x], axis=1) for y in (low[:, 0], high[:, 0]) for x in (low[:, 1], high[:, 1])]
    )
    there = (corners - matrix[:, 2]) @ inverse.T
    first = np.floor(there.min(axis=0, initial=np.inf)).astype(np.int64)
    end = np.ceil(there.max(axis=0, initial=-np.inf)).astype(np.int64) + 1
    limits = np.array(shape)
    first, end = np.clip(first, 0, limits), np.clip(end, 0, limits)
    return np.stack([first[:, 0], end[:, 0], first[:, 1], end[:, 1]], axis=1)


@njit(cache=True, nogil=True)
def _bound_cells(starts: Any, lengths: Any, offsets: Any, width: int, boxes: Any) -> None:
    """Write first row, first column, and the ends of both, of each cell into `boxes` (N, 4)."""
    for cell in range(len(offsets) - 1):
        top, left, bottom, right = np.int64(2**62), np.int64(width), np.int64(0), np.int64(0)
        for run in range(offsets[cell], offsets[cell + 1]):
            last = starts[run] + lengths[run] - 1
            row, end_row = starts[run] // width, last // width
            top, bottom = min(top, row), max(bottom, end_row + 1)
            if row == end_row:
                left = min(left, starts[run] % width)
                right = max(right, last % width + 1)
            else:
                left, right = np.int64(0), np.int64(width)
        boxes[cell] = top, left, bottom, right


@njit(cache=True, nogil=True)
def _draw_cells(  # type: ignore[no-untyped-def]
    starts, lengths, offsets, height, width, cells, areas, matrix, stack
):
    """Set the pixels of `cells` in `stack` (M, h, w), which starts as 0, within their `areas`."""
    for place in range(len(cells)):
        first, last = offsets[cells[place]], offsets[cells[place] + 1]
        for row in range(areas[place, 0], areas[place, 1]):
            for column in range(areas[place, 2], areas[place, 3]):
                y = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2] + 0.5
                x = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2] + 0.5
                if y < 0 or x < 0 or y >= height or x >= width:
                    continue
                pixel = int(y) * width + int(x)
                # Find the last run that begins at or before the pixel.
                low, high = first, last
                while high - low > 1:
                    middle = (low + high) // 2
                    if starts[middle] <= pixel:
                        low = middle
                    else:
                        high = middle
                if starts[low] <= pixel < starts[low] + lengths[low]:
                    stack[place, row, column] = 1


@njit(cache=True, nogil=True)
def _find_boxes(masks: Any, boxes: Any) -> None:
    """Write the corners (x1, y1, x2, y2) of each mask's pixel edges; each has a pixel."""
    for place in range(len(masks)):
        top, left, bottom, right = masks.shape[1], masks.shape[2], 0, 0
        for row in range(masks.shape[1]):
            for column in range(masks.shape[2]):
                if masks[place, row, column]:
                    top, bottom = min(top, row), row
                    left, right = min(left, column), max(right, column)
        boxes[place] = left - 0.5, top - 0.5, right + 0.5, bottom + 0.5
