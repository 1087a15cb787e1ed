"""The section of the images: a viewer, and a list, worst first."""

from collections.abc import Sequence

import numpy as np

from cellflow.records import CellMasks
from cellflow.report.markup import Section, name, number, tag, text
from cellflow.report.plots import style_of
from cellflow.report.ranking import Ranked, agreement
from cellflow.report.subject import Subject, median_diameter
from cellflow.report.viewer import viewer

WORDS = {"image", "cell type", "unusual"}
"""Columns of text, which are left-aligned."""


def images_section(subject: Subject, ranking: Sequence[Ranked], remark: str) -> Section:
    """Give the section with the viewer and the list.

    Parameters
    ----------
    subject : Subject
    ranking : sequence of Ranked
        The order of the list.
    remark : str
        What the reader must know about the pictures, plain text.
    """
    with_truth = bool(subject.scores)
    title = "Images, worst first" if with_truth else "Images, unusual ones first"
    content = (
        tag("p", text(remark), class_="lead") if remark else "",
        tag("noscript", tag("p", "The viewer needs JavaScript. The list below does not.")),
        viewer(subject),
        _type_filter(subject),
        _list_with_truth(subject, ranking) if with_truth else _list_alone(subject, ranking),
    )
    return Section(anchor="images", title=title, content="".join(content))


def _type_filter(subject: Subject) -> str:
    if len(subject.kinds) < 2:
        return ""
    buttons = [
        tag("button", text(kind or "all"), type="button", data_kind=kind,
            aria_pressed="false" if kind else "true")
        for kind in ("", *subject.kinds)
    ]  # fmt: skip
    return tag("div", *buttons, class_="group filter", role="group", aria_label="Cell type")


def _list_with_truth(subject: Subject, ranking: Sequence[Ranked]) -> str:
    header = ["#", "image", "cell type", "true cells", *subject.models]
    is_pair = len(subject.models) == 2
    if is_pair:
        header.append("difference")
    rows = []
    for place, ranked in enumerate(ranking, start=1):
        image = ranked.index
        truth = subject.scores[0].images[image].n_truths
        cells = [_place(place), _opener(subject, image), _kind(subject, image), _count(truth)]
        cells += [_result(subject, model, image) for model in range(len(subject.models))]
        if is_pair:
            first, second = (score.images[image].mean for score in subject.scores)
            shown = number(first - second, signed=True)
            cells.append(tag("td", shown, data_value=f"{first - second:.6f}"))
        rows.append(_row(subject, image, cells))
    order = "lowest mean score first" if len(subject.models) > 1 else "lowest score first"
    return _list(header, rows, order)


def _list_alone(subject: Subject, ranking: Sequence[Ranked]) -> str:
    is_single = len(subject.models) == 1
    header = ["#", "image", "unusual"]
    header += ["cells", "median diameter"] if is_single else [*subject.models, "agreement"]
    shared = agreement(subject)
    rows = []
    for place, ranked in enumerate(ranking, start=1):
        image = ranked.index
        reasons = text("; ".join(ranked.reasons))
        cells = [_place(place), _opener(subject, image)]
        cells.append(tag("td", reasons, data_value=len(ranked.reasons), class_="words"))
        for model in range(len(subject.models)):
            cells += _size(subject.cells(model, subject.images[image]), is_single=is_single)
        if not is_single:
            cells.append(tag("td", number(shared[image]), data_value=f"{shared[image]:.6f}"))
        rows.append(_row(subject, image, cells))
    return _list(header, rows, "unusual ones first")


def _size(masks: CellMasks, *, is_single: bool) -> list[str]:
    """Give number and median diameter of the cells, in two columns for a single model."""
    diameter = median_diameter(masks)
    across = "–" if np.isnan(diameter) else f"{diameter:.1f} px"
    if is_single:
        return [_count(len(masks)), tag("td", across, data_value=f"{diameter:.3f}")]
    shown = f"{tag('small', across)} {len(masks):,}"
    return [tag("td", shown, data_value=len(masks))]


def _list(header: Sequence[str], rows: Sequence[str], order: str) -> str:
    heads = [
        tag("th", tag("button", text(title), type="button", data_column=column), scope="col",
            aria_sort="ascending" if column == 0 else None,
            class_="words" if title in WORDS else None)
        for column, title in enumerate(header)
    ]  # fmt: skip
    caption = f"All images, {order}; a column's head sorts by it, a name opens the image"
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", *heads)),
            tag("tbody", *rows),
            id="image-list",
            class_="numbers",
        ),
        class_="scroll list",
        tabindex=0,
        role="region",
        aria_label="List of images",
    )


def _row(subject: Subject, image: int, cells: Sequence[str]) -> str:
    kind = subject.cell_types[image] or ""
    return tag("tr", *cells, data_image=image, data_kind=kind)


def _place(place: int) -> str:
    return tag("td", str(place), data_value=place)


def _opener(subject: Subject, image: int) -> str:
    shown = subject.images[image]
    button = tag("button", name(shown), type="button", class_="opener", data_image=image)
    return tag("th", button, scope="row", data_value=shown)


def _kind(subject: Subject, image: int) -> str:
    kind = subject.cell_types[image] or "–"
    return tag("td", text(kind), data_value=kind, class_="words")


def _count(count: int) -> str:
    return tag("td", f"{count:,}", data_value=count)


def _result(subject: Subject, model: int, image: int) -> str:
    """Give a model's score on an image, with its counts at the lowest threshold."""
    one = subject.scores[model].images[image]
    tp, fp, fn = (int(side[0]) for side in (one.counts.tp, one.counts.fp, one.counts.fn))
    counts = f"{tp} hit, {fn} missed, {fp} spurious"
    shown = f"{tag('small', counts)} {number(one.mean)}"
    return tag("td", shown, data_value=f"{one.mean:.6f}", class_=style_of(model))
