"""Greedy non-maximum suppression of boxes, where torchvision's own does not load.

Takes and gives plain arrays; `cellflow.baselines.operators` puts it in torchvision's place.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Boxes = NDArray[np.float32] | NDArray[np.float64]


def suppress_boxes(boxes: Boxes, scores: Boxes, iou_threshold: float) -> NDArray[np.int64]:
    """Give the boxes that no kept one of higher score covers too much.

    Parameters
    ----------
    boxes : (N, 4) float32 or float64
        Corners (x1, y1, x2, y2), torchvision's order.
    scores : (N,) float32 or float64
    iou_threshold : float
        A box goes when its intersection over union with a kept one is greater.

    Returns
    -------
    (K,) int64
        Indices from the highest score on; of equal scores the first comes first.

    Notes
    -----
    Areas and intersections are computed in the boxes' own type, as torchvision does, so that both
    decide alike on the threshold itself. Two boxes without area have no IoU: both stay.

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
    """Write the kept indices into `kept` (N,), give their number; `order` is by falling score.

    Cost: each kept box meets every box that is left, N²/2 at worst.
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
