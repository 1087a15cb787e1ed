"""The section on how good the models are: scores with intervals, and AP against IoU."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.result import CocoPrecision, Comparison
from cellflow.comparison.tables import NO_SCORES
from cellflow.metrics.bootstrap import mean_interval
from cellflow.metrics.matching import THRESHOLDS
from cellflow.metrics.score import Score, TypeScore
from cellflow.pictures.scales import Scale
from cellflow.report.markup import Section, bounds, figure, name, number, table, tag, text
from cellflow.report.plots import (
    key,
    marker,
    panel,
    panel_scales,
    polyline,
    style_of,
)
from cellflow.report.subject import Subject
from cellflow.wording import counted, defined

N_DRAWS = 2000
"""Bootstrap draws for the bands, which are only drawn and need few."""

Bands = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Lower and upper bound at each threshold."""


def score_section(subject: Subject) -> Section:
    """Give the section of scores of a subject with truth."""
    content = _by_type(subject) + _curves(subject)
    if subject.comparison is not None:
        content += _methods(subject.comparison)
    return Section(anchor="scores", title="Scores by cell type and IoU", content=content)


def _by_type(subject: Subject) -> str:
    if not subject.kinds:
        return ""
    header = ["model"]
    for kind in subject.kinds:
        one = subject.scores[0].per_cell_type[kind]
        images, cells = counted(one.n_images, "image"), counted(one.n_truths, "cell", ",")
        header.append(f"{kind}, {images}, {cells}")
    rows = [
        [name(model), *(_cell(score.per_cell_type[kind]) for kind in subject.kinds)]
        for model, score in zip(subject.models, subject.scores, strict=True)
    ]
    return table("Mean average precision by cell type", header, rows)


def _methods(comparison: Comparison) -> str:
    """Say what was scored for every method, and what it cost to make it comparable."""
    rows = []
    for method, score in zip(comparison.methods, comparison.scores, strict=True):
        overlap, cutoffs, coco = method.overlap, method.cutoffs, method.coco
        rows.append(
            [
                name(method.name),
                text(method.kind),
                f"{method.n_detections:,}",
                f"{score.overall.n_predicted:,}",
                "none"
                if overlap is None
                else text(
                    f"{overlap.rule}: {overlap.n_dropped:,} dropped, mAP "
                    f"{overlap.score_before:.3f} to {overlap.score_after:.3f}"
                ),
                "none"
                if cutoffs is None
                else text(f"on {cutoffs.n_folds} folds, mAP {cutoffs.nested_score:.3f}"),
                "–" if coco is None else defined(coco.ap, ".3f", "–") + _star(coco),
            ]
        )
    header = ["model", "read from", "detections", "scored", "overlap", "cutoffs", "COCO AP"]
    has_star = any(_star(method.coco) for method in comparison.methods if method.coco)
    caption = f"What was scored; {NO_SCORES}" if has_star else "What was scored"
    return table(caption, header, rows)


def _star(coco: CocoPrecision) -> str:
    return "" if coco.has_scores else "*"


def _cell(score: TypeScore) -> str:
    interval = tag("small", text(bounds(score.mean)))
    return f"{number(score.mean.estimate)} {interval}"


def _curves(subject: Subject) -> str:
    groups: list[str | None] = [None, *(subject.kinds if len(subject.kinds) > 1 else ())]
    bands = {kind: [_band(score, kind) for score in subject.scores] for kind in groups}
    highest = [
        float(values.max())
        for kind, each in bands.items()
        for score, band in zip(subject.scores, each, strict=True)
        for values in (_of(score, kind).per_threshold, *(band or ()))
    ]
    scales = panel_scales(THRESHOLDS, np.array([0.0, max(0.1, *highest)]).repeat(5))
    panels = [_panel(subject, kind, bands[kind], scales) for kind in groups]
    plots = key(subject.models) + tag("div", *panels, class_="panels")
    caption = (
        "Average precision against the intersection over union that counts as a hit. "
        "A curve that falls early finds cells but draws their outlines badly."
    )
    if subject.scores[0].variant != "pooled":
        caption += " Bands: 95 % interval at each threshold."
    return figure(plots, text(caption), _numbers(subject, groups))


def _panel(
    subject: Subject,
    kind: str | None,
    bands_of_models: Sequence[Bands | None],
    scales: tuple[Scale, Scale],
) -> str:
    across, upwards = scales
    bands, curves = [], []
    for model, (score, band) in enumerate(zip(subject.scores, bands_of_models, strict=True)):
        shown = _of(score, kind).per_threshold
        if band is not None:
            edge = polyline(
                across,
                upwards,
                [*THRESHOLDS, *THRESHOLDS[::-1]],
                [*band[1], *band[0][::-1]],
            )
            bands.append(tag("polygon", points=edge, class_=f"band {style_of(model)}"))
        line = polyline(across, upwards, THRESHOLDS.tolist(), shown.tolist())
        curves.append(tag("polyline", points=line, class_=f"curve {style_of(model)}"))
        curves += [
            marker(model, across(x), upwards(y))
            for x, y in zip(THRESHOLDS.tolist(), shown.tolist(), strict=True)
        ]
    title = f"{kind or 'all images'} ({_of(subject.scores[0], kind).n_images})"
    label = f"AP against IoU, {title}; the numbers are in the table below"
    return panel(title, label, across, upwards, *bands, *curves, below="IoU above")


def _of(score: Score, kind: str | None) -> TypeScore:
    return score.overall if kind is None else score.per_cell_type[kind]


def _band(score: Score, kind: str | None) -> Bands | None:
    """Give the interval at every threshold, or None if there is none."""
    chosen = [i for i, other in enumerate(score.cell_types) if kind is None or other == kind]
    if score.variant == "pooled":
        return None
    rng = np.random.default_rng(0)
    intervals = [
        mean_interval(
            np.array([score.images[i].precision[threshold] for i in chosen]),
            rng=rng,
            strata=[score.cell_types[i] for i in chosen],
            clusters=[score.groups[i] for i in chosen],
            n_draws=N_DRAWS,
            within=(0, 1),
        )
        for threshold in range(len(THRESHOLDS))
    ]
    low = np.array([interval.low for interval in intervals])
    if np.isnan(low).any():
        return None
    return low, np.array([interval.high for interval in intervals])


def _numbers(subject: Subject, groups: Sequence[str | None]) -> str:
    rows = [
        [
            f"{name(model)}, {text(kind or 'all')}",
            *(f"{value:.3f}" for value in _of(score, kind).per_threshold),
        ]
        for kind in groups
        for model, score in zip(subject.models, subject.scores, strict=True)
    ]
    header = ["IoU above", *(f"{t:.2f}" for t in THRESHOLDS)]
    return table("AP at each IoU", header, rows) + _pooled(subject)


def _pooled(subject: Subject) -> str:
    """Give counts summed over all images, and their ratios; nothing in variants without pairs."""
    header = ("IoU above", "TP", "FP", "FN", "precision", "recall", "F1", "AP", "IoU of TP", "PQ")
    rows = []
    for model, score in zip(subject.models, subject.scores, strict=True):
        if (pooled := score.overall.pooled) is None:
            return ""
        counts = (pooled.counts.tp, pooled.counts.fp, pooled.counts.fn)
        ratios = (
            *(pooled.precision, pooled.recall, pooled.f1, pooled.average_precision),
            *(pooled.mean_matched_iou, pooled.panoptic_quality),
        )
        rows += [
            [
                f"{name(model)}, {threshold:.2f}",
                *(f"{side[row]:,}" for side in counts),
                *(defined(ratio[row], ".3f", "–") for ratio in ratios),
            ]
            for row, threshold in enumerate(THRESHOLDS)
        ]
    caption = "Counts summed over all images (micro), and precision, recall and so on of the sums"
    return table(caption, header, rows)
