"""Greedy non-maximum suppression of boxes, for when torchvision's own does not load.

Works on plain arrays; `cellflow.baselines.operators` installs it in place of torchvision's.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Boxes = NDArray[np.float32] | NDArray[np.float64]


def suppress_boxes(boxes: Boxes, scores: Boxes, iou_threshold: float) -> NDArray[np.int64]:
    """Give the boxes that do not overlap too much with a kept box of higher score.

    Parameters
    ----------
    boxes : (N, 4) float32 or float64
        Corners (x1, y1, x2, y2), torchvision's order.
    scores : (N,) float32 or float64
    iou_threshold : float
        A box is dropped if its IoU with a kept one is greater.

    Returns
    -------
    (K,) int64
        Indices by descending score; equal scores keep their order.

    Notes
    -----
    Areas and intersections are computed in the dtype of the boxes, as in torchvision, so that both
    decide the same when the IoU equals the threshold. Two boxes without area have no IoU; both are
    kept.

    Examples
    --------
    >>> boxes = np.array([[0, 0, 4, 4], [1, 0, 5, 4], [4, 4, 8, 8]], np.float32)
    >>> suppress_boxes(boxes, np.array([0.8, 0.9, 0.1], np.float32), 0.5)
    array([1, 2])
    """
    order = np.argsort(-scores, kind="stable")
    kept = np.empty(len(order), np.int64)
    n_kept = _suppress(np.ascontiguousarray(boxes), order, iou_threshold, kept)
    return kept[:n_kept]


@njit(cache=True, nogil=True)
def _suppress(boxes: Any, order: Any, iou_threshold: float, kept: Any) -> int:
    """Write the kept indices into `kept` (N,), give their number; `order` is by descending score.

    Cost: each kept box is compared with every remaining box, N²/2 comparisons at worst.
    """
    n_boxes = len(order)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    gone = np.zeros(n_boxes, np.bool_)
    n_kept = 0
    zero = boxes.dtype.type(0)
    for place in range(n_boxes):
        first = order[place]
        if gone[first]:
            continue
        kept[n_kept] = first
        n_kept += 1
        left, top, right, bottom = boxes[first]
        for later in range(place + 1, n_boxes):
            other = order[later]
            if gone[other]:
                continue
            width = min(right, boxes[other, 2]) - max(left, boxes[other, 0])
            height = min(bottom, boxes[other, 3]) - max(top, boxes[other, 1])
            shared = max(zero, width) * max(zero, height)
            union = areas[first] + areas[other] - shared
            if union > 0 and shared / union > iou_threshold:
                gone[other] = True
    return n_kept
