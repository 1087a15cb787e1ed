"""The section on the cells: their number per image, their sizes, and the model's confidence."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

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
from cellflow.report.subject import Subject
from cellflow.wording import counted

N_BINS, N_CONFIDENCE_BINS = 30, 20
LARGEST_SHOWN = 99.5
"""Percentile of the diameters where the histograms end; larger cells are in the last bin."""


def cells_section(subject: Subject) -> Section:
    """Give the section of counts and sizes."""
    content = _counts(subject) + _sizes(subject) + _confidences(subject)
    return Section(anchor="cells", title="Cells found", content=content)


def _counts(subject: Subject) -> str:
    sides = _sides(subject)
    counts = [
        np.array([float(len(side.cells(image))) for image in subject.images]) for side in sides
    ]
    scale = percent_scale(np.concatenate(counts).tolist(), include=(0.0,))
    rows = []
    for side, values in zip(sides, counts, strict=True):
        titles = [
            f"{image}: {counted(int(value), 'cell')}"
            for image, value in zip(subject.images, values.tolist(), strict=True)
        ]
        dots = swarm(scale, values, np.arange(len(values)), titles, style=side.style)
        n_cells = counted(int(values.sum()), "cell", ",")
        label = f"{n_cells}, median {np.median(values):.0f} an image"
        rows.append(
            tag("div", tag("strong", name(side.name)), " ", text(label), class_="row-label") + dots
        )
    rows.append(tag("div") + axis_row(scale, "cells in an image"))
    header = ["", "cells", "fewest", "median", "most", "images without"]
    numbers = [
        [
            name(side.name),
            f"{int(values.sum()):,}",
            f"{values.min():.0f}",
            f"{np.median(values):.0f}",
            f"{values.max():.0f}",
            str(int((values == 0).sum())),
        ]
        for side, values in zip(sides, counts, strict=True)
    ]
    return figure(
        tag("div", *rows, class_="rows"),
        "Cells in each image; a dot opens its image.",
        table("Cells in an image", header, numbers),
    )


def _sizes(subject: Subject) -> str:
    sides = _sides(subject)
    everything = np.concatenate([_diameters(subject, side, None) for side in sides])
    if len(everything) == 0:
        return tag("p", "No cell was found.")
    end = float(np.percentile(everything, LARGEST_SHOWN))
    edges = np.linspace(0, max(end, 1.0), N_BINS + 1)
    groups = [None, *(subject.kinds if len(subject.kinds) > 1 else ())]
    shares = {kind: [_shares(subject, one, kind, edges) for one in sides] for kind in groups}
    top = max(float(share.max()) for group in shares.values() for share in group)
    scales = panel_scales(edges, np.linspace(0.0, max(top, 0.01), len(edges)))
    panels = [_size_panel(kind, sides, shares[kind], edges, scales) for kind in groups]
    header = ["", "10 %", "median", "90 %", "largest"]
    numbers = [
        [f"{name(side.name)}, {text(kind or 'all')}", *_quantiles(_diameters(subject, side, kind))]
        for kind in groups
        for side in sides
    ]
    return figure(
        key(subject.models, truth=subject.truths is not None)
        + tag("div", *panels, class_="panels"),
        "Equivalent diameter, that of a disc of the cell's area: share of the cells in each bin; "
        "the last bin also holds what is larger.",
        table("Equivalent diameter, pixels", header, numbers),
    )


def _confidences(subject: Subject) -> str:
    """Draw the confidences of the models; empty if no model gives any."""
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


class _Side(NamedTuple):
    """Truth or one model: its name, its class in `style.css`, and its cells by image name."""

    name: str
    style: str
    cells: Callable[[str], CellMasks]


def _sides(subject: Subject) -> list[_Side]:
    """Give the truth, if there is any, and the models."""
    truths = subject.truths
    models = [
        _Side(one, style_of(model), partial(subject.cells, model))
        for model, one in enumerate(subject.models)
    ]
    return models if truths is None else [_Side("truth", "truth", truths.__getitem__), *models]


def _diameters(subject: Subject, side: _Side, kind: str | None) -> NDArray[np.float64]:
    return np.concatenate(
        [
            side.cells(image).diameters
            for image, other in zip(subject.images, subject.cell_types, strict=True)
            if kind is None or other == kind
        ]
    )


def _shares(
    subject: Subject, side: _Side, kind: str | None, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the share of the cells in each bin, (N_BINS,); zeros without cells."""
    diameters = np.minimum(_diameters(subject, side, kind), edges[-1])
    counts = np.histogram(diameters, edges)[0]
    shares: NDArray[np.float64] = counts / max(1, counts.sum())
    return shares


def _size_panel(
    kind: str | None,
    sides: list[_Side],
    shares: list[NDArray[np.float64]],
    edges: NDArray[np.float64],
    scales: tuple[Scale, Scale],
) -> str:
    lines = [
        _steps(scales, edges, share, side.style) for side, share in zip(sides, shares, strict=True)
    ]
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
