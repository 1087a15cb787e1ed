"""Classifies every cell of one image: found, missed, spurious, split, merged, wrong boundary.

How it works: cells are paired one-to-one, largest IoU first, while it is above one half (`found`).
Of the rest, truths that share a prediction with another truth are `merged`, predictions that share
a truth with another prediction are pieces of a `split`, and pairs that overlap a little have a
wrong `boundary`. All remaining truths are `missed`, all remaining predictions `spurious`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.metrics.overlap import Overlap, find_overlap
from cellflow.records import CellMasks

KINDS = ("missed", "spurious", "split", "merged", "boundary")
"""Kinds of errors. A cell without an error is ``found``."""
FOUND_IOU = 0.5
"""IoU above which a pair is ``found``: the competition's lowest threshold."""
BOUNDARY_IOU = 0.1
"""IoU above which two cells without any other partner are one cell with a wrong ``boundary``."""
MOSTLY = 0.5
"""A cell lies mostly in another one if more than this share of its pixels does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellErrors:
    """Classification of the N true and M predicted cells of an image.

    Parameters
    ----------
    truth_kinds : (N,) str
        found, missed, split, merged or boundary.
    predicted_kinds : (M,) str
        found, spurious, split (a piece; also if another piece is large enough to count as found),
        merged or boundary.
    partners : (N,) int64
        The prediction that corresponds to the truth, or that contains it and others (merged);
        -1 = none.
    owners : (M,) int64
        The truth that the prediction corresponds to, or is a piece of; -1 = none, or several.
    iou : (N,) float64
        IoU of each truth with its partner; 0 without one.
    """

    truth_kinds: NDArray[np.str_]
    predicted_kinds: NDArray[np.str_]
    partners: NDArray[np.int64]
    owners: NDArray[np.int64]
    iou: NDArray[np.float64]


def find_cell_errors(truth: CellMasks, predicted: CellMasks) -> CellErrors:
    """Classify every cell.

    Parameters
    ----------
    truth : CellMasks
        N cells that may overlap.
    predicted : CellMasks
        M cells.

    Raises
    ------
    LabelError
        The two are for images of different size.

    Notes
    -----
    Pairs are formed greedily in descending order of IoU, among equals in the order of the cells. If
    one truth lies mostly in another one, a prediction that covers both does not make them merged:
    annotators drew one over the other, so the truth without a partner counts as missed.
    """
    overlap = find_overlap(truth, predicted)
    sorting = _Sorting(overlap, len(truth), len(predicted))
    sorting.pair(FOUND_IOU, "found")
    sorting.list_merged(_nested(truth))
    sorting.list_split()
    sorting.pair(BOUNDARY_IOU, "boundary")
    return CellErrors(
        truth_kinds=sorting.truth_kinds,
        predicted_kinds=sorting.predicted_kinds,
        partners=sorting.partners,
        owners=sorting.owners,
        iou=sorting.iou,
    )


class _Sorting:
    """State of the classification; each step considers only cells that earlier steps left."""

    def __init__(self, overlap: Overlap, n_truths: int, n_predicted: int) -> None:
        self.overlap = overlap
        self.truth_kinds = np.full(n_truths, "missed", "<U8")
        self.predicted_kinds = np.full(n_predicted, "spurious", "<U8")
        self.partners = np.full(n_truths, -1, np.int64)
        self.owners = np.full(n_predicted, -1, np.int64)
        self.iou = np.zeros(n_truths)

    def pair(self, above: float, kind: str) -> None:
        """Pair the remaining cells one-to-one, the largest IoU first."""
        iou = self.overlap.iou
        order = np.argsort(-iou, kind="stable")
        for pair in order[iou[order] > above]:
            t, p = self.overlap.truth[pair], self.overlap.predicted[pair]
            if self.truth_kinds[t] == "missed" and self.predicted_kinds[p] == "spurious":
                self.truth_kinds[t] = self.predicted_kinds[p] = kind
                self.partners[t], self.owners[p], self.iou[t] = p, t, iou[pair]

    def list_merged(self, nested: set[tuple[int, int]]) -> None:
        """Mark truths that lie mostly in a prediction in which another truth mostly lies too."""
        overlap = self.overlap
        lies_in = overlap.intersection > MOSTLY * overlap.truth_areas[overlap.truth]
        held: dict[int, list[int]] = {}
        for pair in np.flatnonzero(lies_in):
            held.setdefault(int(overlap.predicted[pair]), []).append(pair)
        for p, pairs in held.items():
            truths = [int(overlap.truth[pair]) for pair in pairs]
            for pair, t in zip(pairs, truths, strict=True):
                is_shared = any(o != t and (min(o, t), max(o, t)) not in nested for o in truths)
                if self.truth_kinds[t] == "missed" and is_shared:
                    self.truth_kinds[t] = "merged"
                    self.partners[t], self.iou[t] = p, overlap.iou[pair]
                    if self.predicted_kinds[p] == "spurious":
                        self.predicted_kinds[p] = "merged"

    def list_split(self) -> None:
        """Mark predictions that lie mostly in a truth that has another prediction too."""
        overlap = self.overlap
        lies_in = overlap.intersection > MOSTLY * overlap.predicted_areas[overlap.predicted]
        pieces: dict[int, list[int]] = {}
        largest_first = np.argsort(-overlap.intersection, kind="stable")
        taken: set[int] = set()
        for pair in largest_first[lies_in[largest_first]]:
            t, p = int(overlap.truth[pair]), int(overlap.predicted[pair])
            if self.predicted_kinds[p] == "spurious" and p not in taken:
                taken.add(p)
                pieces.setdefault(t, []).append(pair)
        for t, pairs in pieces.items():
            kind = self.truth_kinds[t]
            if kind == "merged" or (kind == "missed" and len(pairs) < 2):
                continue
            for pair in pairs:
                p = overlap.predicted[pair]
                self.predicted_kinds[p], self.owners[p] = "split", t
            if kind == "missed":
                self.truth_kinds[t] = "split"
                self.partners[t], self.iou[t] = overlap.predicted[pairs[0]], overlap.iou[pairs[0]]


def _nested(truth: CellMasks) -> set[tuple[int, int]]:
    """Give the pairs of truths where one lies mostly in the other, the smaller index first."""
    overlap = find_overlap(truth, truth)
    first, second = overlap.truth, overlap.predicted
    smaller = np.minimum(overlap.truth_areas[first], overlap.truth_areas[second])
    lies_in = (first < second) & (overlap.intersection > MOSTLY * smaller)
    return set(zip(first[lies_in].tolist(), second[lies_in].tolist(), strict=True))
