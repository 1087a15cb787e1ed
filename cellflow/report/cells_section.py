"""What was found: how many cells an image, how large they are, and how sure the model is."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.pictures.scales import Scale
from cellflow.records import CellMasks
from cellflow.report.markup import Section, figure, name, table, tag, text
from cellflow.report.plots import (
    axis_row,
    key,
    panel,
    panel_scales,
    percent_scale,
    polyline,
    style_of,
    swarm,
)
from cellflow.report.subject import Subject, equivalent_diameters
from cellflow.wording import counted

N_BINS, N_CONFIDENCE_BINS = 30, 20
LARGEST_SHOWN = 99.5
"""Percentile of the diameters at which the histograms end; larger cells count in the last bin."""


def cells_section(subject: Subject) -> Section:
    """Give the section of counts and sizes."""
    content = _counts(subject) + _sizes(subject) + _confidences(subject)
    return Section(anchor="cells", title="Cells found", content=content)


def _counts(subject: Subject) -> str:
    sides = _sides(subject)
    counts = [
        np.array([float(len(cells(image))) for image in subject.images]) for _, cells in sides
    ]
    scale = percent_scale(np.concatenate(counts).tolist(), include=(0.0,))
    rows = []
    for index, ((side, _), values) in enumerate(zip(sides, counts, strict=True)):
        titles = [
            f"{image}: {counted(int(value), 'cell')}"
            for image, value in zip(subject.images, values.tolist(), strict=True)
        ]
        model = index - (len(sides) - len(subject.models))
        style = "truth" if model < 0 else style_of(model)
        dots = swarm(scale, values, np.arange(len(values)), titles, style=style)
        n_cells = counted(int(values.sum()), "cell", ",")
        label = f"{n_cells}, median {np.median(values):.0f} an image"
        rows.append(
            tag("div", tag("strong", name(side)), " ", text(label), class_="row-label") + dots
        )
    rows.append(tag("div") + axis_row(scale, "cells in an image"))
    header = ["", "cells", "fewest", "median", "most", "images without"]
    numbers = [
        [
            name(side),
            f"{int(values.sum()):,}",
            f"{values.min():.0f}",
            f"{np.median(values):.0f}",
            f"{values.max():.0f}",
            str(int((values == 0).sum())),
        ]
        for (side, _), values in zip(sides, counts, strict=True)
    ]
    return figure(
        tag("div", *rows, class_="rows"),
        "Cells in each image; a dot opens its image.",
        table("Cells in an image", header, numbers),
    )


def _sizes(subject: Subject) -> str:
    sides = _sides(subject)
    everything = np.concatenate([_diameters(subject, cells, None) for _, cells in sides])
    if len(everything) == 0:
        return tag("p", "No cell was found.")
    end = float(np.percentile(everything, LARGEST_SHOWN))
    edges = np.linspace(0, max(end, 1.0), N_BINS + 1)
    groups = [None, *(subject.kinds if len(subject.kinds) > 1 else ())]
    shares = {kind: [_shares(subject, c, kind, edges) for _, c in sides] for kind in groups}
    top = max(float(share.max()) for group in shares.values() for share in group)
    scales = panel_scales(edges, np.linspace(0.0, max(top, 0.01), len(edges)))
    panels = [_size_panel(kind, shares[kind], edges, scales, subject) for kind in groups]
    header = ["", "10 %", "median", "90 %", "largest"]
    numbers = [
        [f"{name(side)}, {text(kind or 'all')}", *_quantiles(_diameters(subject, cells, kind))]
        for kind in groups
        for side, cells in sides
    ]
    return figure(
        key(subject.models, truth=subject.truths is not None)
        + tag("div", *panels, class_="panels"),
        "Equivalent diameter, that of a disc of the cell's area: share of the cells in each bin; "
        "the last bin also holds what is larger.",
        table("Equivalent diameter, pixels", header, numbers),
    )


def _confidences(subject: Subject) -> str:
    """Draw how sure the models are of their cells; empty where none says."""
    sure = [_all_confidences(subject, model) for model in range(len(subject.models))]
    if not any(len(one) for one in sure):
        return ""
    edges = np.linspace(0, 1, N_CONFIDENCE_BINS + 1)
    shares = [np.histogram(one, edges)[0] / max(1, len(one)) for one in sure]
    scales = panel_scales(edges, np.linspace(0, max(0.01, *(s.max() for s in shares)), len(edges)))
    lines = [
        _steps(scales, edges, share, style_of(model))
        for model, share in enumerate(shares)
        if len(sure[model])
    ]
    label = "Share of cells by confidence; the numbers are in the table below"
    rows = [
        [name(model), f"{len(one):,}", *_quantiles(one, decimals=2)]
        for model, one in zip(subject.models, sure, strict=True)
    ]
    return figure(
        key(subject.models)
        + tag(
            "div", panel("all images", label, *scales, *lines, below="confidence"), class_="panels"
        ),
        "How sure the models are of their cells: share of the cells in each bin.",
        table("Confidence", ["", "cells", "10 %", "median", "90 %", "largest"], rows),
    )


def _all_confidences(subject: Subject, model: int) -> NDArray[np.float32]:
    given = [subject.confidence(model, image) for image in subject.images]
    return np.concatenate([np.zeros(0, np.float32), *(one for one in given if one is not None)])


Side = tuple[str, Callable[[str], CellMasks]]
"""A name, and what gives the cells of an image by its name."""


def _sides(subject: Subject) -> list[Side]:
    """Give truth, if there is any, and the models."""
    truths = subject.truths
    sides: list[Side] = [] if truths is None else [("truth", truths.__getitem__)]
    for model, one in enumerate(subject.models):
        sides.append((one, partial(subject.cells, model)))
    return sides


def _diameters(
    subject: Subject, cells: Callable[[str], CellMasks], kind: str | None
) -> NDArray[np.float64]:
    return np.concatenate(
        [
            equivalent_diameters(cells(image))
            for image, other in zip(subject.images, subject.cell_types, strict=True)
            if kind is None or other == kind
        ]
    )


def _shares(
    subject: Subject,
    cells: Callable[[str], CellMasks],
    kind: str | None,
    edges: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the share of the cells in each bin, (N_BINS,); zeros without a cell."""
    diameters = np.minimum(_diameters(subject, cells, kind), edges[-1])
    counts = np.histogram(diameters, edges)[0]
    shares: NDArray[np.float64] = counts / max(1, counts.sum())
    return shares


def _size_panel(
    kind: str | None,
    shares: list[NDArray[np.float64]],
    edges: NDArray[np.float64],
    scales: tuple[Scale, Scale],
    subject: Subject,
) -> str:
    lines = []
    for index, share in enumerate(shares):
        model = index - (len(shares) - len(subject.models))
        style = "truth" if model < 0 else style_of(model)
        lines.append(_steps(scales, edges, share, style))
    title = kind or "all images"
    label = f"Share of cells by diameter, {title}; the numbers are in the table below"
    return panel(title, label, *scales, *lines, below="diameter, px")


def _steps(
    scales: tuple[Scale, Scale], edges: NDArray[np.float64], share: NDArray[np.float64], style: str
) -> str:
    """Draw the outline of a histogram."""
    x, y = edges.repeat(2)[1:-1].tolist(), share.repeat(2).tolist()
    return tag("polyline", points=polyline(*scales, x, y), class_=f"curve {style}")


def _quantiles(values: NDArray[np.floating[Any]], decimals: int = 1) -> list[str]:
    if len(values) == 0:
        return ["–"] * 4
    return [f"{np.percentile(values, share):.{decimals}f}" for share in (10, 50, 90, 100)]
