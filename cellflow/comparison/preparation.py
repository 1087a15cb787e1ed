"""What a method found, made comparable: cut by tuned cutoffs, and without overlap."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cellflow.comparison.cutoffs import NO_CUTOFF, Cutoff, Cutoffs, passes, tune_cutoffs
from cellflow.comparison.importers import MethodOutput
from cellflow.comparison.overlap_rules import (
    Resolved,
    count_overlapping,
    has_overlap,
    resolve_overlap,
)
from cellflow.comparison.result import Method, OverlapCost
from cellflow.comparison.truth import Truth
from cellflow.config import ComparisonConfig
from cellflow.data.rle import labels_to_masks
from cellflow.metrics.found_cells import find_cells
from cellflow.records import CellMasks, Detections


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """One method, ready to be scored.

    Parameters
    ----------
    method : Method
        Without COCO precision.
    cells : dict of image name to CellMasks
        Without overlap; of the images of the truth that the method covers.
    detections : dict of image name to Detections
        What they come from.
    remarks : tuple of str
    """

    method: Method
    cells: dict[str, CellMasks]
    detections: dict[str, Detections]
    remarks: tuple[str, ...] = ()


def prepare(
    output: MethodOutput,
    truth: Truth,
    *,
    settings: ComparisonConfig,
    rng: np.random.Generator,
) -> Prepared:
    """Resolve overlaps, and cut what the method is not sure of.

    Parameters
    ----------
    output : MethodOutput
    truth : mapping of image name to TrueImage
        Of the images compared.
    settings : ComparisonConfig
        Its overlap rule touches only images with overlap, its tuning only detections with scores.
    rng : numpy.random.Generator
        Of the folds.
    """
    detections = {name: one for name, one in output.detections.items() if name in truth}
    rule = settings.overlap_rule
    overlaps = any(has_overlap(one.masks) for one in detections.values())
    remarks: list[str] = []
    resolved: dict[str, Resolved] = {}
    cutoffs: Cutoffs | None = None
    if overlaps or output.has_scores:
        resolved = {name: resolve_overlap(one, rule) for name, one in detections.items()}
    if output.has_scores and settings.tune_cutoffs:
        cutoffs = tune_cutoffs(resolved, detections, truth, n_folds=settings.n_folds, rng=rng)
        if cutoffs is None:
            remarks.append(
                f"{output.name}: all images are of one group, so that no cutoff can be chosen on "
                "folds; all detections count"
            )
    if resolved:
        cells = _cut(resolved, cutoffs.of_image if cutoffs else {})
    else:
        cells = {name: one.masks for name, one in detections.items()}
    common = cutoffs.on_all_images if cutoffs else {}
    method = Method(
        name=output.name,
        kind=output.kind,
        n_detections=sum(len(one.masks) for one in detections.values()),
        has_scores=output.has_scores,
        overlap=_cost(rule, resolved, detections, truth, common) if overlaps else None,
        cutoffs=cutoffs.tuned if cutoffs else None,
    )
    return Prepared(method=method, cells=cells, detections=detections, remarks=tuple(remarks))


def _cut(resolved: Mapping[str, Resolved], cutoffs: Mapping[str, Cutoff]) -> dict[str, CellMasks]:
    cells = {}
    for name, one in resolved.items():
        masks = labels_to_masks(one.prediction.labels)
        reached = passes(one.prediction.scores, masks.areas, cutoffs.get(name, NO_CUTOFF))
        cells[name] = masks.select(reached)
    return cells


def _cost(
    rule: str,
    resolved: Mapping[str, Resolved],
    detections: Mapping[str, Detections],
    truth: Truth,
    cutoffs: Mapping[str, Cutoff],
) -> OverlapCost:
    """Compare the detections that reach the cutoffs before and after the rule."""
    counts, scores = np.zeros(5, np.int64), []
    for name, one in detections.items():
        cutoff = cutoffs.get(name, NO_CUTOFF)
        given = one.scores if one.scores is not None else np.ones(len(one.masks), np.float32)
        before = one.masks.select(passes(given, one.masks.areas, cutoff))
        found = resolved[name]
        cells = labels_to_masks(found.prediction.labels)
        reached = passes(found.prediction.scores, cells.areas, cutoff)
        after = cells.select(reached)
        n_pixels = int(found.areas_before[reached].sum()), int(after.areas.sum())
        counts += [len(before), count_overlapping(before), len(before) - len(after), *n_pixels]
        sides = (find_cells(truth[name].masks, masks) for masks in (before, after))
        scores.append([side.precision.mean() for side in sides])
    score_before, score_after = np.mean(scores, axis=0).tolist()
    n_detections, n_overlapping, n_dropped, pixels_before, pixels_after = counts.tolist()
    return OverlapCost(
        rule=rule,
        n_detections=n_detections,
        n_overlapping=n_overlapping,
        n_dropped=n_dropped,
        pixels_lost=1 - pixels_after / pixels_before if pixels_before else 0.0,
        score_before=score_before,
        score_after=score_after,
    )
