"""Rules that fuse the cells of several methods into one set, on one image.

=============  ======================================================================
``alone``      the cells of one method
``fill_in``    the cells of one method, then those of the others that are at least half
               free
``vote``       masks of different methods with IoU above one half are one cell; its
               pixels are those covered by more than half of the votes; cells with too
               few votes are dropped. One method has an additional half vote, which breaks
               ties: with two methods, its masks are taken
=============  ======================================================================

Within a method, cells are processed by descending score, or in the order of the file. No rule
assigns a pixel twice.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cellflow.data.rle import labels_to_masks
from cellflow.inference.overlap_rules import resolve_overlap
from cellflow.metrics.overlap import find_overlap
from cellflow.records import CellMasks, Detections

SAME_IOU = 0.5
"""IoU above which masks of two methods are the same cell."""
TIE_BREAK = 0.5
"""Additional vote of the leading method; less than one, so that it never outvotes two others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRule:
    """One rule of fusion.

    Parameters
    ----------
    kind : str
        See the top of this module.
    leading : int
        Number of the method that is taken alone, is filled in, or breaks ties.
    least_votes : int
        Methods that must have found a cell; for ``vote`` only.
    """

    kind: Literal["alone", "fill_in", "vote"]
    leading: int
    least_votes: int = 1

    def describe(self, names: Sequence[str]) -> str:
        """Give the rule in words."""
        name = names[self.leading]
        if self.kind == "alone":
            return f"{name} alone"
        if self.kind == "fill_in":
            return f"{name}, filled in by the others"
        by = "any" if self.least_votes == 1 else f"{self.least_votes} or more"
        return f"vote, cells of {by}, ties to {name}"


def all_rules(n_methods: int) -> list[FusionRule]:
    """Give every rule for a number of methods, the simplest first."""
    leading = range(n_methods)
    return [
        *(FusionRule(kind="alone", leading=k) for k in leading),
        *(FusionRule(kind="fill_in", leading=k) for k in leading),
        *(
            FusionRule(kind="vote", leading=k, least_votes=votes)
            for votes, k in itertools.product(range(1, n_methods + 1), leading)
        ),
    ]


def fuse_cells(rule: FusionRule, methods: Sequence[Detections]) -> CellMasks:
    """Fuse the cells of one image.

    Parameters
    ----------
    rule : FusionRule
    methods : sequence of Detections
        Of the same image, one per method; without overlap within a method.

    Returns
    -------
    CellMasks
        Without overlap; in the order in which they were placed.
    """
    if rule.kind == "alone":
        return _laid_down([methods[rule.leading].masks], [_by_score(methods[rule.leading])])
    order = [rule.leading, *(k for k in range(len(methods)) if k != rule.leading)]
    if rule.kind == "fill_in":
        return _laid_down([methods[k].masks for k in order], [_by_score(methods[k]) for k in order])
    return _vote(rule, [methods[k] for k in order])


def _by_score(found: Detections) -> NDArray[np.int64]:
    if found.scores is None:
        return np.arange(len(found.masks))
    return np.argsort(-found.scores, kind="stable")


def _laid_down(sets: Sequence[CellMasks], orders: Sequence[NDArray[np.int64]]) -> CellMasks:
    """Place cells one after the other, each only if at least half of it is still free."""
    ordered = [one.select(order) for one, order in zip(sets, orders, strict=True)]
    masks = CellMasks.concatenate(ordered)
    # Descending scores make the rule process the cells in this order.
    scores = -np.arange(len(masks), dtype=np.float32)
    found = Detections(name="", masks=masks, scores=scores)
    return labels_to_masks(resolve_overlap(found, "score_order").prediction.labels)


def _vote(rule: FusionRule, methods: Sequence[Detections]) -> CellMasks:
    """Cluster the masks of methods, the leading one first, and vote on each cluster's pixels."""
    masks = CellMasks.concatenate([one.masks for one in methods])
    owner = np.repeat(np.arange(len(methods)), [len(one.masks) for one in methods])
    cluster = _clusters(masks, owner)
    n_votes = np.bincount(cluster, minlength=int(cluster.max(initial=-1)) + 1)
    weights = np.where(owner == 0, 1 + TIE_BREAK, 1.0)
    voted, has_pixels = _majority(masks, cluster, weights)
    # Order by votes, then by rank within the methods.
    ranks = np.concatenate([np.argsort(_by_score(one)) for one in methods])
    mean_rank = np.bincount(cluster, ranks, minlength=len(n_votes)) / np.maximum(n_votes, 1)
    order = np.lexsort((mean_rank, -n_votes))
    order = order[(n_votes[order] >= rule.least_votes) & has_pixels[order]]
    return _laid_down([voted], [(np.cumsum(has_pixels) - 1)[order]])


def _clusters(masks: CellMasks, owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the cluster of each mask: largest IoUs first, at most one mask of each method."""
    overlap = find_overlap(masks, masks)
    first, second, iou = overlap.truth, overlap.predicted, overlap.iou
    pairs = np.flatnonzero((first < second) & (owner[first] != owner[second]) & (iou > SAME_IOU))
    members = {mask: [mask] for mask in range(len(masks))}
    home = list(range(len(masks)))
    for pair in pairs[np.argsort(-iou[pairs], kind="stable")]:
        a, b = home[first[pair]], home[second[pair]]
        if a != b and not {*owner[members[a]]} & {*owner[members[b]]}:
            members[a] += members.pop(b)
            for mask in members[a]:
                home[mask] = a
    return np.unique(np.array(home, np.int64), return_inverse=True)[1].astype(np.int64)


def _majority(
    masks: CellMasks, cluster: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[CellMasks, NDArray[np.bool_]]:
    """Give each cluster the pixels covered by masks with more than half of its total weight.

    Returns
    -------
    CellMasks
        Of the clusters that have such pixels.
    (C,) bool
        Whether each cluster has any.

    Notes
    -----
    One sweep over the runs of all clusters; a run adds its weight where it begins and subtracts it
    where it ends.
    """
    if len(masks) == 0:
        return masks, np.zeros(0, bool)
    n_runs = np.diff(masks.offsets)
    place = np.concatenate([masks.starts, masks.starts + masks.lengths])
    change = np.repeat(weights, n_runs)
    change = np.concatenate([change, -change])
    owner = np.tile(np.repeat(cluster, n_runs), 2)
    order = np.lexsort((place, owner))
    place, change, owner = place[order], change[order], owner[order]
    # Weights are multiples of one half, so the sums are exact.
    covered = np.cumsum(change) > np.bincount(cluster, weights)[owner] / 2
    covered &= np.append(place[1:] > place[:-1], False)
    starts, ends, owner = (
        place[:-1][covered[:-1]],
        place[1:][covered[:-1]],
        owner[:-1][covered[:-1]],
    )
    # Merge adjacent runs of a cell.
    is_first = np.ones(len(starts), bool)
    is_first[1:] = (starts[1:] > ends[:-1]) | (owner[1:] != owner[:-1])
    is_last = np.append(is_first[1:], True)
    counts = np.bincount(owner[is_first], minlength=int(cluster.max()) + 1)
    return (
        CellMasks(
            starts=starts[is_first],
            lengths=(ends[is_last] - starts[is_first]).astype(np.int32),
            offsets=np.cumsum([0, *counts[counts > 0]]).astype(np.int64),
            shape=masks.shape,
        ),
        counts > 0,
    )
