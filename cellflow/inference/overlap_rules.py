"""Named rules that turn overlapping detections into cells without overlap.

=================  ====================================================================
``higher_score``   every pixel goes to the cell with the highest score that covers it; a
                   cell that gets no pixel is dropped
``score_order``    cells are placed in descending order of score; a cell is dropped if
                   less than half of it is still free, or else gets its free pixels
``mask_nms``       a cell is dropped if its IoU with a kept cell of higher score is above
                   one half; then as ``higher_score``
=================  ====================================================================

Among equal scores, or without scores, the first in the file wins. With every rule a cell has no
effect on cells of higher score, so a score threshold may be applied before or after the rule.
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
"""Share of a cell's pixels that must be free for ``score_order`` to keep it, as in the merging of
panoptic segmentation (Kirillov et al., "Panoptic Segmentation", CVPR 2019)."""
NMS_IOU = 0.5
"""IoU above which ``mask_nms`` takes two masks for the same cell."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """The cells of one image after an overlap rule.

    Parameters
    ----------
    prediction : Prediction
        The cells kept, in descending order of score; scores are 1 if the detections had none.
    kept : (K,) int64
        Index of each cell among the detections.
    areas_before : (K,) int64
        Pixels of each kept detection before the rule.
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
        One of `RULES`, see the table of this module. Without overlap, every rule keeps all cells
        whole.

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


def has_overlap(masks: CellMasks) -> bool:
    """Tell whether any two cells share a pixel."""
    ends = masks.starts + masks.lengths
    order = np.argsort(masks.starts, kind="stable")
    # Runs of one cell never overlap, so two overlapping runs are of different cells.
    return bool((masks.starts[order][1:] < np.maximum.accumulate(ends[order])[:-1]).any())


def _without_duplicates(
    order: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Go through the cells in order, and drop those that form a pair with an earlier kept cell."""
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
    """Write the cells, in the given order, on pixels that are still free; labels 1, 2 …."""
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
