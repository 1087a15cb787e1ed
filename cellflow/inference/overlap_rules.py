"""Overlapping detections to cells without overlap, by a rule that has a name.

=================  ====================================================================
``higher_score``   every pixel goes to the cell with the highest score that covers it; a
                   cell without any pixel left is dropped
``score_order``    cells are laid down from the highest score on; one of which less than
                   half is still free is dropped, the others get what is free
``mask_nms``       a cell with an IoU above one half with a kept one of higher score is
                   dropped; then as ``higher_score``
=================  ====================================================================

Of equal scores, and where there are none, the first in the file wins. No rule lets a cell change
what a cell of higher score gets, so a score threshold may come before or after it.
"""

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.config import OverlapRule
from cellflow.errors import ConfigError
from cellflow.metrics.overlap import find_overlap
from cellflow.records import CellMasks, Detections, Prediction

RULES: tuple[str, ...] = get_args(OverlapRule)

LEAST_FREE = 0.5
"""Share of its pixels that ``score_order`` wants free, as in the merging of panoptic segmentation
(Kirillov et al., "Panoptic Segmentation", CVPR 2019)."""
NMS_IOU = 0.5
"""Above which ``mask_nms`` takes two masks for the same cell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """Detections of one image after a rule.

    Parameters
    ----------
    prediction : Prediction
        Its cells are those kept, from the highest score on; scores are 1 where there were none.
    kept : (K,) int64
        Index of each cell among the detections.
    areas_before : (K,) int64
        Pixels of the kept detections before the rule.
    """

    prediction: Prediction
    kept: NDArray[np.int64]
    areas_before: NDArray[np.int64]


def resolve_overlap(detections: Detections, rule: OverlapRule = "higher_score") -> Resolved:
    """Give every pixel to at most one cell.

    Parameters
    ----------
    detections : Detections
    rule : str
        One of `RULES`, see above. Without overlap all rules keep every cell whole.

    Raises
    ------
    ConfigError
        An unknown rule.

    Examples
    --------
    >>> from cellflow.data.rle import rle_to_masks
    >>> masks = rle_to_masks(["1 4", "3 4"], (1, 6))
    >>> found = Detections(name="x", masks=masks, scores=np.array([0.4, 0.9], np.float32))
    >>> resolve_overlap(found).prediction.labels
    array([[2, 2, 1, 1, 1, 1]], dtype=int32)
    """
    if rule not in RULES:
        raise ConfigError(f"unknown overlap rule {rule!r}; known: {', '.join(RULES)}")
    masks = detections.masks
    scores = detections.scores
    if scores is None:
        scores = np.ones(len(masks), np.float32)
    overlap = find_overlap(masks, masks)
    others = overlap.truth != overlap.predicted
    order = np.argsort(-scores, kind="stable")
    if rule == "mask_nms":
        same = others & (overlap.intersection > NMS_IOU * overlap.union)
        order = _without_duplicates(order, overlap.truth[same], overlap.predicted[same])
    least_free = LEAST_FREE if rule == "score_order" else 0.0
    height, width = masks.shape
    labels = np.zeros(height * width, np.int32)
    is_kept = np.zeros(len(order), np.bool_)
    _lay_down(masks.starts, masks.lengths, masks.offsets, order, least_free, labels, is_kept)
    kept = order[is_kept]
    return Resolved(
        prediction=Prediction(
            name=detections.name, labels=labels.reshape(height, width), scores=scores[kept]
        ),
        kept=kept,
        areas_before=masks.areas[kept],
    )


def count_overlapping(masks: CellMasks) -> int:
    """Give the number of cells that share pixels with another one."""
    overlap = find_overlap(masks, masks)
    return len(np.unique(overlap.truth[overlap.truth != overlap.predicted]))


def has_overlap(masks: CellMasks) -> bool:
    """Tell whether any two cells share a pixel."""
    ends = masks.starts + masks.lengths
    order = np.argsort(masks.starts, kind="stable")
    # Runs of one cell never overlap, so that two that do are of two cells.
    return bool((masks.starts[order][1:] < np.maximum.accumulate(ends[order])[:-1]).any())


def _without_duplicates(
    order: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Go down the order, and leave out what pairs with a cell that was kept before."""
    partners: dict[int, list[int]] = {}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        partners.setdefault(a, []).append(b)
    dropped: set[int] = set()
    kept = []
    for cell in order.tolist():
        if cell not in dropped:
            kept.append(cell)
            dropped.update(partners.get(cell, ()))
    return np.array(kept, np.int64)


@njit(cache=True, nogil=True)
def _lay_down(starts, lengths, offsets, order, least_free, labels, is_kept):  # type: ignore[no-untyped-def]
    """Write labels 1, 2 … of the cells that keep a pixel, in the given order, on free pixels."""
    n_kept = 0
    for position in range(len(order)):
        first, last = offsets[order[position]], offsets[order[position] + 1]
        area, n_free = 0, 0
        for run in range(first, last):
            area += lengths[run]
            for pixel in range(starts[run], starts[run] + lengths[run]):
                if labels[pixel] == 0:
                    n_free += 1
        if n_free == 0 or n_free < least_free * area:
            continue
        n_kept += 1
        is_kept[position] = True
        for run in range(first, last):
            for pixel in range(starts[run], starts[run] + lengths[run]):
                if labels[pixel] == 0:
                    labels[pixel] = n_kept
