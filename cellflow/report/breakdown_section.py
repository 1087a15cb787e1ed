"""The section on where two models differ: by IoU, cell size and density, and cell by cell."""

import math

from cellflow.comparison.result import Breakdown, Comparison, PairedDifference
from cellflow.pictures.scales import Scale
from cellflow.report.markup import Section, bounds, figure, name, number, table, tag, text
from cellflow.report.plots import axis_row, interval_row, interval_scale
from cellflow.wording import counted


def breakdown_section(comparison: Comparison) -> Section:
    """Give the section on where the two best models differ."""
    pair = comparison.leading_pair
    content = [
        tag("p", f"{name(pair.first)} minus {name(pair.second)}. {_ranking(comparison)}"),
        _slices(comparison, comparison.pairs.index(pair)),
        _found(pair),
        _power(comparison, pair),
    ]
    title = "Where the difference lies"
    return Section(anchor="where", title=title, content="".join(content))


def _percent(share: float) -> str:
    return "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def _ranking(comparison: Comparison) -> str:
    ranking = comparison.ranking
    lead = f"Leaving out the IoU thresholds above {ranking.up_to:.2f}, where outlines of small "
    lead += "cells are partly chance, "
    if not ranking.changes:
        return f"{lead}keeps the ranking."
    return f"{lead}changes the ranking to {', '.join(map(name, ranking.order_up_to))}."


def _slices(comparison: Comparison, row: int) -> str:
    """Draw the difference in every slice of every breakdown except that by cell type."""
    breakdowns = [one for one in comparison.breakdowns if one.by != "cell type"]
    if not breakdowns:
        return ""
    differences = [one.differences[row] for by in breakdowns for one in by.slices]
    scale = interval_scale(differences, include=(0,))
    plots = [_breakdown(by, row, scale) for by in breakdowns]
    numbers = [_numbers(comparison, by, row) for by in breakdowns]
    caption = "Difference with its 95 % interval; to the right where the first is better."
    return figure(tag("div", *plots, class_="columns"), caption, "".join(numbers))


def _breakdown(breakdown: Breakdown, row: int, scale: Scale) -> str:
    rows = [
        tag("div", tag("strong", text(one.label)), class_="row-label")
        + interval_row(scale, 0, one.differences[row], zero=True)
        for one in breakdown.slices
        if math.isfinite(one.differences[row].estimate)
    ]
    rows.append(tag("div") + axis_row(scale, "", signed=True, narrow=True))
    return tag(
        "div",
        tag("h3", text(f"By {breakdown.by}")),
        tag("div", *rows, class_="rows"),
        tag("p", text(f"{breakdown.note}."), class_="hint"),
    )


def _numbers(comparison: Comparison, breakdown: Breakdown, row: int) -> str:
    header = [
        breakdown.by,
        "images",
        "true cells",
        *comparison.names,
        "difference",
        "95 % interval",
    ]
    rows = [
        [
            text(one.label),
            f"{one.n_images:,}",
            f"{one.n_truths:,}",
            *(number(score.estimate) for score in one.scores),
            number(one.differences[row].estimate, signed=True),
            text(bounds(one.differences[row], signed=True)),
        ]
        for one in breakdown.slices
    ]
    return table(f"By {breakdown.by}", header, rows)


def _found(pair: PairedDifference) -> str:
    """Say how many true cells both, one or neither find, and what both together could reach."""
    rows = [
        [
            text(f"{kind}, IoU > {one.iou:.2f}"),
            f"{one.both:,}",
            f"{one.only_first:,}",
            f"{one.only_second:,}",
            f"{one.neither:,}",
        ]
        for kind, counts in pair.found_by.items()
        for one in counts
    ]
    header = ["true cells", "both", f"only {pair.first}", f"only {pair.second}", "neither"]
    oracle = (
        f"With the better of the two on each image mAP would be {number(pair.oracle.per_image)}; "
        "with every cell that either finds, and no spurious one, "
        f"{number(pair.oracle.per_cell)}."
    )
    return table("True cells found", header, rows) + tag("p", text(oracle))


def _power(comparison: Comparison, pair: PairedDifference) -> str:
    """Say which difference other numbers of such images could show."""
    if math.isnan(pair.smallest_visible):
        return ""
    counts = list(pair.smallest_visible_with.items())
    hidden, share = comparison.hidden_images, comparison.public_share
    rows = [["difference in mAP", *(number(visible) for _, visible in counts)]]
    header = ["", *(counted(count, "image") for count, _ in counts)]
    flips = (
        f"If the difference is what it seems to be, {share * hidden:.0f} and "
        f"{(1 - share) * hidden:.0f} other such images, as the public and the private part of a "
        "competition's, would put the two in opposite order with a chance of "
        f"{_percent(pair.flip_chance)}."
    )
    caption = "Smallest difference that so many images like these would show, with 80 % power"
    return table(caption, header, rows) + tag("p", text(flips))
