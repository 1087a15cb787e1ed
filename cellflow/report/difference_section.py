"""The section on which model is better: the difference of every pair, image by image."""

import math

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.formatting import p_value
from cellflow.comparison.result import Comparison, PairedDifference
from cellflow.interval import Interval
from cellflow.report.markup import Section, bounds, figure, name, number, table, tag, text
from cellflow.report.plots import axis_row, interval_row, interval_scale, percent_scale, swarm
from cellflow.report.subject import Subject
from cellflow.wording import counted


def difference_section(subject: Subject, comparison: Comparison) -> Section:
    """Give the section of paired differences."""
    figures = [_pair_figure(subject, comparison, row) for row in range(len(comparison.pairs))]
    if len(figures) > 1:
        figures = [
            _all_pairs(comparison),
            *(
                tag(
                    "details",
                    tag("summary", f"{name(pair.first)} minus {name(pair.second)}, by image"),
                    shown,
                )
                for pair, shown in zip(comparison.pairs, figures, strict=True)
            ),
        ]
    return Section(anchor="difference", title="Paired difference", content="".join(figures))


def _pair_figure(subject: Subject, comparison: Comparison, row: int) -> str:
    pair = comparison.pairs[row]
    values = _differences(subject, pair)
    means = {"all images": pair.difference, **_by_type(comparison, row)}
    scale = percent_scale(
        [*values.tolist(), *(v for mean in means.values() for v in (mean.low, mean.high))],
        include=(0.0,),
    )
    groups = [(kind, np.array([t == kind for t in subject.cell_types])) for kind in subject.kinds]
    if len(groups) < 2:
        groups = [("all images", np.ones(len(values), bool))]
    titles = [
        f"{image}: {number(value, signed=True)}"
        for image, value in zip(subject.images, values.tolist(), strict=True)
    ]
    rows = [
        _label(kind, int(chosen.sum()), means[kind])
        + tag(
            "div",
            swarm(scale, values, np.flatnonzero(chosen), titles, zero=True),
            interval_row(scale, 0, means[kind], zero=True),
        )
        for kind, chosen in groups
    ]
    if len(groups) > 1:
        rows.append(
            _label("all images", len(values), pair.difference)
            + interval_row(scale, 0, pair.difference, zero=True)
        )
    rows.append(tag("div") + axis_row(scale, "difference in mAP", signed=True))
    caption = (
        f"{name(pair.first)} minus {name(pair.second)}: each dot is an image, to the right where "
        f"{name(pair.first)} is better; below the dots their mean with its 95 % interval. "
        f"Permutation p {text(p_value(pair.p_corrected))}; "
        f"{_share(pair.probability_first_better)} of the bootstrap draws favour "
        f"{name(pair.first)}. {_visible(pair.smallest_visible)} A dot opens its image."
    )
    return figure(tag("div", *rows, class_="rows"), caption, _numbers(means))


def _by_type(comparison: Comparison, row: int) -> dict[str, Interval]:
    """Give the difference of a pair within each cell type."""
    return {
        one.label: one.differences[row]
        for breakdown in comparison.breakdowns
        if breakdown.by == "cell type"
        for one in breakdown.slices
    }


def _share(share: float) -> str:
    return "all" if share == 1 else "none" if share == 0 else f"{100 * share:.1f} %"


def _label(kind: str, n_images: int, mean: Interval) -> str:
    return tag(
        "div",
        tag("strong", text(kind)),
        f" {counted(n_images, 'image')}",
        "<br>",
        f"{number(mean.estimate, signed=True)} ",
        tag("small", text(bounds(mean, signed=True))),
        class_="row-label",
    )


def _differences(subject: Subject, pair: PairedDifference) -> NDArray[np.float64]:
    """Give the difference of each image, first minus second."""
    first, second = (subject.models.index(one) for one in (pair.first, pair.second))
    difference: NDArray[np.float64] = (
        subject.scores[first].image_scores - subject.scores[second].image_scores
    )
    return difference


def _all_pairs(comparison: Comparison) -> str:
    scale = interval_scale([pair.difference for pair in comparison.pairs], include=(0,))
    rows = [
        [
            f"{name(pair.first)} − {name(pair.second)}",
            tag("strong", number(pair.difference.estimate, signed=True)),
            text(bounds(pair.difference, signed=True)),
            text(p_value(pair.p_corrected)),
            interval_row(scale, 0, pair.difference, zero=True),
        ]
        for pair in comparison.pairs
    ]
    rows.append(["", "", "", "", axis_row(scale, "", signed=True)])
    header = ["pair", "difference", "95 % interval", "p", ""]
    return table("Differences in mAP, paired by image", header, rows, class_="intervals")


def _numbers(means: dict[str, Interval]) -> str:
    rows = [
        [text(kind), number(mean.estimate, signed=True), text(bounds(mean, signed=True))]
        for kind, mean in means.items()
    ]
    return table("Mean difference", ["images", "difference", "95 % interval"], rows)


def _visible(size: float) -> str:
    if not math.isfinite(size):
        return "So few images can show no difference with 80 % power."
    return f"These images can show a difference of {number(size)} or more with 80 % power."
