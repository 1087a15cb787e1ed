"""Parts of plots as inline SVG.

There are two kinds: panels of a fixed drawing size, laid out side by side, and rows as wide as the
page allows, whose x positions are in per cent, so that text keeps its size on any screen. Colours,
dashes and fonts are in `style.css`; models differ in colour, dash and marker.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cellflow.interval import Interval
from cellflow.pictures.scales import Scale, fit_scale
from cellflow.report.markup import MINUS, name, tag, text

N_STYLES = 6
"""Number of model styles in `style.css`; a seventh model looks like the first again."""
_MARKERS = (
    "M-4,0A4,4 0 1 1 4,0A4,4 0 1 1 -4,0Z",
    "M-3.6,-3.6H3.6V3.6H-3.6Z",
    "M0,-4.6L4.4,3.4H-4.4Z",
    "M0,-5L5,0L0,5L-5,0Z",
    "M0,4.6L4.4,-3.4H-4.4Z",
    "M-1.4,-4.4H1.4V-1.4H4.4V1.4H1.4V4.4H-1.4V1.4H-4.4V-1.4H-1.4Z",
)
PANEL_WIDTH, PANEL_HEIGHT = 300, 230
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 26, 36
ROW_HEIGHT, SWARM_HEIGHT = 26, 64
DOT, SHIFT = 1.4, 7.0
"""Space of a dot in a swarm: per cent of the row's width, and pixels of its height."""


def style_of(model: int) -> str:
    """Give the CSS class with a model's colour and dash."""
    return f"m{model % N_STYLES}"


def marker(model: int, x: float, y: float) -> str:
    """Draw a model's marker."""
    shape = tag("path", d=_MARKERS[model % N_STYLES], class_="marker")
    return tag("g", shape, class_=style_of(model), transform=f"translate({x:.2f} {y:.2f})")


def marker_in_row(model: int, percent: float, y: float) -> str:
    """Draw a model's marker at an x position in per cent of the width."""
    return tag("svg", marker(model, 0, 0), x=f"{percent:.2f}%", y=y, overflow="visible")


def key(names: Sequence[str], *, truth: bool = False) -> str:
    """Give a legend of the models' lines and markers, and of the truth if it is shown."""
    entries = []
    if truth:
        line = tag("line", x1=1, x2=31, y1=8, y2=8, class_="curve truth")
        sample = tag("svg", line, width=32, height=16, aria_hidden="true")
        entries.append(tag("li", sample, "truth"))
    for model, one in enumerate(names):
        line = tag("line", x1=1, x2=31, y1=8, y2=8, class_=f"curve {style_of(model)}")
        sample = tag("svg", line, marker(model, 16, 8), width=32, height=16, aria_hidden="true")
        entries.append(tag("li", sample, name(one)))
    return tag("ul", *entries, class_="key")


def percent_scale(values: Sequence[float], *, include: Sequence[float] = ()) -> Scale:
    """Give a scale in per cent that covers all finite values, with a margin at both ends."""
    finite = np.array([value for value in (*values, *include) if math.isfinite(value)])
    return fit_scale(finite, 2.0, 98.0)


def interval_scale(intervals: Iterable[Interval], *, include: Sequence[float] = ()) -> Scale:
    """Give a scale in per cent that covers all intervals with their estimates."""
    ends = [value for one in intervals for value in (one.estimate, one.low, one.high)]
    return percent_scale(ends, include=include)


def interval_row(
    scale: Scale, model: int, interval: Interval, *, zero: bool = False, under: str = ""
) -> str:
    """Draw an estimate and its interval, if it has one, in a row.

    Parameters
    ----------
    scale : Scale
        From values to per cent.
    model : int
        Number of the model, for its colour and marker.
    interval : Interval
    zero : bool
        Whether to draw a vertical line at 0.
    under : str
        Markup drawn below everything else.
    """
    middle = ROW_HEIGHT / 2
    parts = [under, *(rule(scale(tick), ROW_HEIGHT, "grid") for tick in scale.ticks)]
    if zero:
        parts.append(rule(scale(0), ROW_HEIGHT, "zero"))
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        ends = {"x1": f"{scale(interval.low):.2f}%", "x2": f"{scale(interval.high):.2f}%"}
        parts.append(tag("line", **ends, y1=middle, y2=middle, class_=f"span {style_of(model)}"))
    parts.append(marker_in_row(model, scale(interval.estimate), middle))
    return row(*parts)


def row(*parts: str, height: float = ROW_HEIGHT) -> str:
    """Give an SVG as wide as its container; its numbers are given as text beside it."""
    return tag("svg", *parts, class_="row", width="100%", height=height, aria_hidden="true")


def rule(percent: float, height: float, class_: str) -> str:
    """Draw a vertical line through a row."""
    place = f"{percent:.2f}%"
    return tag("line", x1=place, x2=place, y1=0, y2=height, class_=class_)


def axis_row(scale: Scale, label: str, *, signed: bool = False, narrow: bool = False) -> str:
    """Draw the axis of the rows above it; `label` may be empty.

    On a `narrow` row only every second tick, counted from 0, is labelled.
    """
    step = scale.ticks[1] - scale.ticks[0]
    written = [tick for tick in scale.ticks if not narrow or round(tick / step) % 2 == 0]
    ticks = [
        tag(
            "text",
            tick_text(tick, scale, signed=signed),
            x=f"{scale(tick):.2f}%",
            y=12,
            text_anchor=_anchor(scale(tick)),
        )
        for tick in written
    ]
    if not label:
        return row(*ticks, height=18)
    title = tag("text", text(label), x="50%", y=30, text_anchor="middle", class_="label")
    return row(*ticks, title, height=36)


def swarm(
    scale: Scale,
    values: NDArray[np.float64],
    chosen: NDArray[np.int64],
    titles: Sequence[str],
    *,
    style: str = "m0",
    zero: bool = False,
) -> str:
    """Draw one dot per image in a row; dots that would collide are stacked.

    Parameters
    ----------
    scale : Scale
        From values to per cent.
    values : (N,) float64
        One per image.
    chosen : (K,) int64
        Indices of the images to draw.
    titles : sequence of N str
        Tooltips of the dots, plain text.
    style : str
        CSS class of the dots: that of a model, see `style_of`, or ``truth``.
    zero : bool
        Whether to draw a vertical line at 0.
    """
    order = chosen[np.argsort(values[chosen], kind="stable")]
    places = np.array([scale(float(value)) for value in values[order]])
    columns = np.floor(places / DOT).astype(int)
    parts = [rule(scale(tick), SWARM_HEIGHT, "grid") for tick in scale.ticks]
    parts += [rule(scale(0), SWARM_HEIGHT, "zero")] if zero else []
    for column in np.unique(columns):
        members = np.flatnonzero(columns == column)
        shift = min(SHIFT, (SWARM_HEIGHT - 8) / len(members))
        for rank, member in enumerate(members.tolist()):
            image = int(order[member])
            parts.append(
                tag(
                    "circle",
                    tag("title", text(titles[image])),
                    cx=f"{places[member]:.2f}%",
                    cy=SWARM_HEIGHT / 2 + (rank - (len(members) - 1) / 2) * shift,
                    r=3.5,
                    class_=f"dot {style}",
                    data_image=image,
                )
            )
    return row(*parts, height=SWARM_HEIGHT)


def tick_text(tick: float, scale: Scale, *, signed: bool = False) -> str:
    """Format a tick with as many decimals as its scale needs."""
    step = abs(scale.ticks[1] - scale.ticks[0]) if len(scale.ticks) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    tick = 0.0 if abs(tick) < step / 2 else tick
    sign = "+" if signed and tick > 0 else ""
    return f"{sign}{tick:.{decimals}f}".replace("-", MINUS)


def panel(
    title: str, label: str, across: Scale, upwards: Scale, *parts: str, below: str = ""
) -> str:
    """Give a panel of `PANEL_WIDTH` × `PANEL_HEIGHT` with its axes.

    Parameters
    ----------
    title : str
        Shown above the panel, plain text.
    label : str
        Description of the panel for screen readers, plain text.
    across, upwards : Scale
        From `panel_scales`.
    *parts : str
        Markup within the axes.
    below : str
        Label of the x axis, plain text.
    """
    right, bottom = PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM
    axes = [tag("text", text(title), x=LEFT, y=14, class_="title")]
    for tick in upwards.ticks:
        place = upwards(tick)
        axes.append(tag("line", x1=LEFT, x2=right, y1=place, y2=place, class_="grid"))
        shown = tick_text(tick, upwards)
        axes.append(tag("text", shown, x=LEFT - 6, y=place + 4, text_anchor="end"))
    for tick in across.ticks:
        shown = tick_text(tick, across)
        axes.append(tag("text", shown, x=across(tick), y=bottom + 16, text_anchor="middle"))
    axes.append(tag("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"))
    middle = (LEFT + right) / 2
    axes.append(
        tag("text", text(below), x=middle, y=bottom + 31, text_anchor="middle", class_="label")
    )
    return tag(
        "svg",
        *axes,
        *parts,
        class_="panel",
        viewbox=f"0 0 {PANEL_WIDTH} {PANEL_HEIGHT}",
        role="img",
        aria_label=label,
    )


def panel_scales(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[Scale, Scale]:
    """Give the scales of a panel that covers all finite points."""
    known = np.isfinite(x) & np.isfinite(y)
    return (
        fit_scale(x[known], LEFT + 8.0, PANEL_WIDTH - RIGHT - 8.0, tight=True),
        fit_scale(y[known], float(PANEL_HEIGHT - BOTTOM), float(TOP)),
    )


def polyline(across: Scale, upwards: Scale, x: Sequence[float], y: Sequence[float]) -> str:
    """Draw a line through the points; points that are not finite are left out."""
    return " ".join(
        f"{across(a):.1f},{upwards(b):.1f}"
        for a, b in zip(x, y, strict=True)
        if math.isfinite(a) and math.isfinite(b)
    )


def _anchor(percent: float) -> str:
    return "start" if percent < 8 else "end" if percent > 92 else "middle"
