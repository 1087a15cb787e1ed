"""Make the output of methods comparable: apply tuned cutoffs and resolve overlaps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from cellflow.comparison.count_limits import count_limit_remarks
from cellflow.comparison.cutoffs import NO_CUTOFF, Cutoff, Cutoffs, passes, tune_cutoffs
from cellflow.comparison.importers import MethodOutput
from cellflow.comparison.result import Method, OverlapCost
from cellflow.comparison.truth import Truth
from cellflow.config import ComparisonConfig
from cellflow.data.rle import labels_to_masks
from cellflow.inference.overlap_rules import (
    Resolved,
    has_overlap,
    resolve_overlap,
)
from cellflow.metrics.found_cells import find_cells
from cellflow.records import CellMasks, Detections
from cellflow.tuning.choice import assign_folds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """One method, ready to be scored.

    Parameters
    ----------
    method : Method
        Its COCO precision is still missing.
    detections : dict of image name to Detections
        As the method gave them.
    resolved : dict of image name to Resolved
        Without overlap.
    cutoffs : Cutoffs or None
        None if nothing is cut.
    remarks : tuple of str
    """

    method: Method
    detections: dict[str, Detections]
    resolved: dict[str, Resolved]
    cutoffs: Cutoffs | None
    remarks: tuple[str, ...]

    @property
    def cells(self) -> dict[str, CellMasks]:
        """The cells to score in each image, cut by what the other folds chose."""
        cutoffs = self.cutoffs.of_image if self.cutoffs else {}
        return {name: self.cut(name, cutoffs).masks for name in self.resolved}

    def count_limits(self, truth: Truth) -> list[str]:
        """Warn of a suspected limit on the number of cells, see `count_limit_remarks`."""
        kinds = {name: image.cell_type for name, image in truth.items()}
        counts = {name: len(one.masks) for name, one in self.detections.items()}
        return count_limit_remarks(self.method.name, counts, kinds)

    def cut(self, name: str, cutoffs: Mapping[str, Cutoff]) -> Detections:
        """Give the cells of an image that reach its cutoff, without overlap, in their order."""
        found = self.resolved[name]
        masks = labels_to_masks(found.prediction.labels)
        scores = found.prediction.scores
        reached = passes(scores, masks.areas, cutoffs.get(name, NO_CUTOFF))
        order = np.argsort(found.kept[reached], kind="stable")
        return Detections(
            name=name, masks=masks.select(reached).select(order), scores=scores[reached][order]
        )


def image_folds(truth: Truth, n_folds: int, rng: np.random.Generator) -> dict[str, int]:
    """Give the fold of each image: stratified by cell type, plate + well kept together."""
    kinds = [image.cell_type for image in truth.values()]
    groups = [image.group for image in truth.values()]
    return dict(zip(truth, assign_folds(kinds, groups, n_folds, rng).tolist(), strict=True))


def prepare(
    output: MethodOutput,
    truth: Truth,
    folds: Mapping[str, int],
    settings: ComparisonConfig,
    images: Collection[str] | None = None,
) -> Prepared:
    """Resolve overlaps, and cut detections with low scores or small areas.

    Parameters
    ----------
    output : MethodOutput
    truth : mapping of image name to TrueImage
        Of the images compared.
    folds : mapping of image name to int
        From `image_folds`, of the same images.
    settings : ComparisonConfig
        Its overlap rule affects only images with overlap, its tuning only detections with scores.
    images : collection of str, optional
        Images to prepare, with or without truth; by default those of the truth.
    """
    wanted = truth.keys() if images is None else images
    detections = {name: one for name, one in output.detections.items() if name in wanted}
    rule, name = settings.overlap_rule, output.name
    resolved = {image: resolve_overlap(one, rule) for image, one in detections.items()}
    remarks: tuple[str, ...] = ()
    cutoffs = None
    if output.has_scores and settings.tune_cutoffs:
        cutoffs = tune_cutoffs(resolved, detections, truth, folds)
        if cutoffs is None:
            remarks = (
                f"{name}: all images are of one group, so that no cutoff can be chosen on folds; "
                "all detections count",
            )
    overlaps = any(has_overlap(one.masks) for one in detections.values())
    common = cutoffs.on_all_images if cutoffs else {}
    method = Method(
        name=name,
        kind=output.kind,
        n_detections=sum(len(one.masks) for one in detections.values()),
        has_scores=output.has_scores,
        overlap=_cost(rule, resolved, detections, truth, common) if overlaps else None,
        cutoffs=cutoffs.tuned if cutoffs else None,
    )
    return Prepared(
        method=method, detections=detections, resolved=resolved, cutoffs=cutoffs, remarks=remarks
    )


def _cost(
    rule: str,
    resolved: Mapping[str, Resolved],
    detections: Mapping[str, Detections],
    truth: Truth,
    cutoffs: Mapping[str, Cutoff],
) -> OverlapCost:
    """Compare the detections that reach the cutoffs before and after the overlap rule."""
    counts, scores = np.zeros(5, np.int64), []
    for name, one in detections.items():
        if name not in truth:
            continue
        cutoff = cutoffs.get(name, NO_CUTOFF)
        given = one.scores if one.scores is not None else np.ones(len(one.masks), np.float32)
        before = one.masks.select(passes(given, one.masks.areas, cutoff))
        found = resolved[name]
        cells = labels_to_masks(found.prediction.labels)
        reached = passes(found.prediction.scores, cells.areas, cutoff)
        after = cells.select(reached)
        n_pixels = int(found.areas_before[reached].sum()), int(after.areas.sum())
        n_kept = int(passes(given[found.kept], found.areas_before, cutoff).sum())
        counts += [len(before), before.n_overlapping, len(before) - n_kept, *n_pixels]
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
