"""The first screen: the main result in a sentence, a number and a picture."""

import math

from cellflow.comparison.formatting import p_value
from cellflow.comparison.result import Comparison, PairedDifference
from cellflow.interval import Interval
from cellflow.metrics.score import Score
from cellflow.report.markup import bounds, name, number, tag, text
from cellflow.report.plots import (
    ROW_HEIGHT,
    axis_row,
    interval_row,
    interval_scale,
    percent_scale,
)
from cellflow.report.subject import Subject
from cellflow.wording import counted


def title_of(subject: Subject) -> str:
    """Give the document's title as text."""
    return f"{' and '.join(subject.models)}: cellflow report"


def headline(subject: Subject) -> str:
    """Give the first screen."""
    if subject.comparison is not None:
        return _of_comparison(subject, subject.comparison)
    if subject.scores:
        return _of_score(subject, subject.scores[0])
    return _without_truth(subject)


def verdict(pair: PairedDifference) -> str:
    """Say as markup which of two models is or may be better, or that the data cannot tell."""
    first, second = name(pair.first), name(pair.second)
    if math.isnan(pair.difference.low):
        return f"{first} and {second}: so few images give no interval"
    if not pair.excludes_zero:
        return f"{first} and {second} cannot be told apart"
    better, other = (first, second) if pair.difference.low > 0 else (second, first)
    return f"{better} {'is' if pair.is_beyond_chance else 'may be'} better than {other}"


def _of_comparison(subject: Subject, comparison: Comparison) -> str:
    pair = comparison.leading_pair
    rest = len(comparison.names) - 2
    also = ""
    if rest:
        also = f" These two lead; {rest} more {'is' if rest == 1 else 'are'} below."
    # Show the difference as seen from the better model.
    shown = pair.difference.turned() if pair.difference.estimate < 0 else pair.difference
    facts = (
        f"mAP, 95 % interval {bounds(shown, signed=True)}, paired over {_images(subject)}; "
        f"permutation p {p_value(pair.p_corrected)}."
    )
    return tag(
        "header",
        _overline(subject),
        tag("h1", f"{verdict(pair)}.{also}"),
        tag("p", tag("strong", number(shown.estimate, signed=True)), " ", facts, class_="finding"),
        tag("div", _scores_picture(subject), _difference_picture(pair, shown), class_="strips"),
        _warnings(subject),
        class_="headline",
    )


def _scores_picture(subject: Subject) -> str:
    """Draw every model's score with its interval."""
    means = [score.mean for score in subject.scores]
    scale = interval_scale(means)
    rows = [
        tag(
            "div",
            tag("strong", name(model)),
            "<br>",
            f"{number(mean.estimate)} ",
            tag("small", text(bounds(mean))),
            class_="row-label",
        )
        + interval_row(scale, index, mean)
        for index, (model, mean) in enumerate(zip(subject.models, means, strict=True))
    ]
    rows.append(tag("div") + axis_row(scale, "", narrow=True))
    caption = "Mean average precision (mAP) with its 95 % interval."
    return tag("figure", tag("div", *rows, class_="rows"), tag("figcaption", caption))


def _difference_picture(pair: PairedDifference, shown: Interval) -> str:
    visible = pair.smallest_visible
    scale = percent_scale(
        [shown.estimate, shown.low, shown.high, visible, -visible], include=(0.0,)
    )
    band = ""
    note = "Difference in mAP; the line at 0 is no difference."
    if math.isfinite(visible):
        left, right = scale(-visible), scale(visible)
        place = {"x": f"{left:.2f}%", "width": f"{right - left:.2f}%"}
        band = tag("rect", **place, y=0, height=ROW_HEIGHT, class_="unseen")
        note += f" Shaded: smaller than {number(visible)}, what these images would hardly show."
    picture = interval_row(scale, 0, shown, zero=True, under=band)
    axis = axis_row(scale, "", signed=True)
    return tag("figure", picture, axis, tag("figcaption", text(note)))


def _of_score(subject: Subject, score: Score) -> str:
    mean = score.mean
    facts = (
        f"Mean average precision, 95 % interval {bounds(mean)}; at IoU 0.50 it is "
        f"{number(float(score.overall.per_threshold[0]))}."
    )
    title = f"{name(subject.models[0])} scores {number(mean.estimate)} on {_images(subject)}."
    return tag(
        "header",
        _overline(subject),
        tag("h1", title),
        tag("p", facts, class_="finding"),
        tag("div", _scores_picture(subject), class_="strips"),
        _warnings(subject),
        class_="headline",
    )


def _without_truth(subject: Subject) -> str:
    counts = [sum(len(masks) for masks in found.values()) for found in subject.predicted]
    others = [
        f"{name(model)} {count:,}"
        for model, count in zip(subject.models[1:], counts[1:], strict=True)
    ]
    first = f"{name(subject.models[0])} found {counted(counts[0], 'cell', ',')}"
    found = ", ".join([first, *others])
    return tag(
        "header",
        _overline(subject),
        tag("h1", f"{found} in {_images(subject)}."),
        tag(
            "p",
            "There is no truth here, so nothing in this report says how many of them are right. "
            "It shows what was found, and the images that look unlike the others first.",
            class_="finding",
        ),
        _warnings(subject),
        class_="headline",
    )


def _images(subject: Subject) -> str:
    return counted(len(subject.images), "image")


def _overline(subject: Subject) -> str:
    parts = [_images(subject)]
    if subject.truths is not None:
        n_cells = sum(len(masks) for masks in subject.truths.values())
        parts.append(counted(n_cells, "annotated cell", ","))
    if subject.kinds:
        parts.append(", ".join(subject.kinds))
    return tag("p", " · ".join(map(text, parts)), class_="overline")


def _warnings(subject: Subject) -> str:
    if not subject.remarks:
        return ""
    items = [tag("li", text(remark.rstrip(".") + ".")) for remark in subject.remarks]
    return tag(
        "aside",
        tag("h2", "To know before reading on"),
        tag("ul", *items),
        class_="remarks",
        aria_label="To know before reading on",
    )
