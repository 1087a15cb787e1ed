"""Scores as text tables of at most 100 columns."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellflow.metrics.average_precision import above, require_pairs
from cellflow.wording import defined

if TYPE_CHECKING:
    from cellflow.metrics.score import Score, TypeScore


def score_table(score: "Score", *, by_threshold: bool = False) -> str:
    """Give the score per cell type and threshold, its interval, and the remarks.

    Raises
    ------
    ConfigError
        `by_threshold` is asked of a variant that does not match cells one-to-one.
    """
    from cellflow.metrics.score import empty_cases

    if by_threshold:
        require_pairs(score.variant, "a table by threshold")
    rows = {"all": score.overall, **score.per_cell_type}
    width = max(10, *map(len, rows))
    blocks = [
        list(_means(score, rows, width)),
        list(_precisions(score, rows, width)) if len(score.thresholds) > 1 else [],
        list(_pooled(score, rows, width)) if by_threshold else [],
        [
            f"Variant {score.variant}. {empty_cases(score.variant)}",
            *_definition(score),
            *(f"{remark}." for remark in score.remarks),
        ],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _means(score: "Score", rows: Mapping[str, "TypeScore"], width: int) -> Iterator[str]:
    """Give the mean of each cell type with its interval; AP50 and AP75 beside the mAP."""
    is_list = len(score.thresholds) > 1 and not score.has_all_thresholds
    head = "mean AP" if is_list else score.metric
    more = "     AP50   AP75" if score.has_all_thresholds else ""
    yield f"{'cell type':<{width}}  images   truth  found  {head:>5}  95 % interval{more}"
    for name, one in rows.items():
        # There is no interval if all images are of one group.
        alone = "      (1 image)" if one.n_images == 1 else "      (1 group)"
        interval = alone if np.isnan(one.mean.low) else one.mean.bounds()
        line = (
            f"{name:<{width}}  {one.n_images:6d}  {one.n_truths:6d} {one.n_predicted:6d}  "
            f"{one.mean.estimate:>{max(5, len(head))}.3f}  {interval:<15}"
        )
        if score.has_all_thresholds:
            line += f"  {one.per_threshold[0]:.3f}  {one.per_threshold[5]:.3f}"
        yield line.rstrip()


def _precisions(score: "Score", rows: Mapping[str, "TypeScore"], width: int) -> Iterator[str]:
    head = f"AP, IoU {above(score.variant)}"
    yield f"{head:<{width}}  " + "  ".join(f"{t:.2f}" for t in score.thresholds)
    for name, one in rows.items():
        yield f"{name:<{width}}  " + "  ".join(f"{value:.2f}" for value in one.per_threshold)


def _pooled(score: "Score", rows: Mapping[str, "TypeScore"], width: int) -> Iterator[str]:
    """Give counts summed over images, and their ratios, at each threshold."""
    yield "Pooled over images (micro): TP, FP and FN are summed first, then divided."
    iou = f"IoU {above(score.variant)}"
    yield (
        f"{'cell type':<{width}} {iou:>6}      TP      FP      FN"
        "  precision  recall     F1     AP  matched IoU     PQ"
    )
    for name, one in rows.items():
        if one.pooled is None:
            continue
        counts = one.pooled.counts
        for row, threshold in enumerate(score.thresholds):
            ratios = (
                (one.pooled.precision, 9),
                (one.pooled.recall, 6),
                (one.pooled.f1, 5),
                (one.pooled.average_precision, 5),
                (one.pooled.mean_matched_iou, 11),
                (one.pooled.panoptic_quality, 5),
            )
            yield (
                f"{name:<{width}} {threshold:6.2f}"
                + "".join(f"{side[row]:8d}" for side in (counts.tp, counts.fp, counts.fn))
                + "".join(f"  {defined(ratio[row], '.3f'):>{size}}" for ratio, size in ratios)
            )


def _definition(score: "Score") -> Iterator[str]:
    """Say what AP and the mean are, and whether the mean is the competition's."""
    over = "each summed over the images" if score.variant == "pooled" else "the mean over images"
    told = f"AP = TP / (TP + FP + FN) at one IoU, {over}"
    if score.has_all_thresholds:
        yield f"{told}; mAP is its mean over the thresholds."
        return
    given = f"The {score.metric}" if len(score.thresholds) > 1 else score.metric
    yield f"{told}."
    yield f"{given} is not the mAP, the mean over IoU 0.50, 0.55 … 0.95 (the competition's metric)."
