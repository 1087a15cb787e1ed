"""Bar charts: groups of horizontal bars with intervals, drawn with Pillow as PNG."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cellflow.atomic import atomic_path
from cellflow.interval import Interval
from cellflow.pictures.curves import FINE, GRID, LINES
from cellflow.pictures.lettering import INK, PAPER, fit_text, load_font
from cellflow.pictures.scales import Scale, fit_scale

WIDTH = 900
"""Width of the picture, pixels; its height depends on the number of bars."""
LEFT, RIGHT, TOP, BOTTOM = 190, 40, 56, 64
"""Margins around the axes, pixels."""
BAR, GAP = 18, 18
"""Height of a bar, and the space between groups, pixels."""


def draw_bars(
    path: Path | str, title: str, groups: Mapping[str, Mapping[str, Interval]], x_label: str
) -> None:
    """Write a bar chart, with one group below the other.

    Parameters
    ----------
    path : path
        A PNG, 900 pixels wide; an existing file is replaced only by a complete one.
    title, x_label : str
    groups : mapping of group to (mapping of bar to Interval)
        Bars of the same name have the same colour; colours are assigned in the order in which names
        first appear. Bounds that are not finite are not drawn.

    Raises
    ------
    DataError
        The file cannot be written.

    Notes
    -----
    Equal input gives equal bytes with one version of Pillow.
    """
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    height = TOP + BOTTOM + sum(BAR * len(bars) + GAP for bars in groups.values())
    ends = [0.0] + [
        end
        for bars in groups.values()
        for one in bars.values()
        for end in (one.estimate, one.low, one.high)
        if np.isfinite(end)
    ]
    across = fit_scale(np.array(ends), LEFT, WIDTH - RIGHT)
    picture = Image.new("RGB", (WIDTH * FINE, height * FINE), PAPER)
    pen = ImageDraw.Draw(picture)
    for tick in across.ticks:
        x = across(tick) * FINE
        pen.line([(x, TOP * FINE), (x, (height - BOTTOM) * FINE)], fill=GRID, width=FINE)
    top = TOP + GAP // 2
    for bars in groups.values():
        for name, one in bars.items():
            _draw_bar(pen, across, top, one, LINES[names.index(name) % len(LINES)])
            top += BAR
        top += GAP
    zero = across(0.0) * FINE
    pen.line([(zero, TOP * FINE), (zero, (height - BOTTOM) * FINE)], fill=INK, width=FINE)
    picture = picture.resize((WIDTH, height), Image.Resampling.BOX)
    _letter(picture, title, groups, across, x_label)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=False)


def _draw_bar(
    pen: ImageDraw.ImageDraw, across: Scale, top: int, one: Interval, colour: tuple[int, int, int]
) -> None:
    if not np.isfinite(one.estimate):
        return
    ends = sorted((across(0.0), across(one.estimate)))
    pen.rectangle(
        [ends[0] * FINE, (top + 2) * FINE, ends[1] * FINE, (top + BAR - 2) * FINE], fill=colour
    )
    if np.isfinite(one.low) and np.isfinite(one.high):
        y = (top + BAR / 2) * FINE
        low, high = across(one.low) * FINE, across(one.high) * FINE
        pen.line([(low, y), (high, y)], fill=INK, width=FINE)
        for x in (low, high):
            pen.line([(x, y - 4 * FINE), (x, y + 4 * FINE)], fill=INK, width=FINE)


def _letter(
    picture: Image.Image,
    title: str,
    groups: Mapping[str, Mapping[str, Interval]],
    across: Scale,
    x_label: str,
) -> None:
    pen, small, large = ImageDraw.Draw(picture), load_font(15), load_font(20)
    pen.text((24, 16), fit_text(title, WIDTH - 48, large), INK, large)
    for tick in across.ticks:
        pen.text(
            (across(tick), picture.height - BOTTOM + 8), f"{tick:.6g}", INK, small, anchor="ma"
        )
    middle = ((LEFT + WIDTH - RIGHT) / 2, picture.height - 28)
    pen.text(middle, fit_text(x_label, WIDTH - LEFT, small), INK, small, anchor="ma")
    top = TOP + GAP // 2
    for group, bars in groups.items():
        pen.text((16, top + BAR / 2), fit_text(group, 80, small), INK, small, anchor="lm")
        for name in bars:
            text = fit_text(name, 90, small)
            pen.text((LEFT - 8, top + BAR / 2), text, INK, small, anchor="rm")
            top += BAR
        top += GAP
