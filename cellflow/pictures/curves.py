"""Line plots, drawn with Pillow as PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cellflow.atomic import atomic_path
from cellflow.errors import ConfigError
from cellflow.pictures.lettering import INK, PAPER, Colour, fit_text, load_font
from cellflow.pictures.scales import Scale, fit_scale

WIDTH, HEIGHT = 900, 540
"""Size of the picture, pixels."""
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 56, 64
"""Margins around the axes, pixels."""
FINE = 3
"""Anti-aliasing: lines are drawn enlarged by this factor, and the picture is averaged down."""
GRID: Colour = (222, 222, 222)
LINES: tuple[Colour, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
)
"""The colours of Okabe and Ito that are visible on white, in the order of the series."""

Series = Mapping[str, tuple[Sequence[float], Sequence[float]]]
Bands = Mapping[str, tuple[Sequence[float], Sequence[float]]]
Marks = Mapping[str, tuple[float, float]]
Corner = Literal["upper right", "lower right"]


def draw_curves(
    path: Path | str,
    title: str,
    series: Series,
    x_label: str,
    y_label: str,
    *,
    bands: Bands | None = None,
    marks: Marks | None = None,
    legend: Corner = "upper right",
    within: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Write a plot of one or more curves.

    Parameters
    ----------
    path : path
        A PNG of 900 × 540 pixels; an existing file is replaced only by a complete one.
    title, x_label, y_label : str
    series : mapping of name to (x, y)
        Sequences of equal length. Points that are not finite are left out and interrupt the line.
    bands : mapping of name to (low, high), optional
        Interval around the curve of that name, as long as its x; drawn as a pale area.
    marks : mapping of name to (x, y), optional
        A point of the curve of that name; drawn as a large ring.
    legend : {"upper right", "lower right"}
        Corner of the legend; rising curves leave the lower one free.
    within : (float, float)
        Smallest and largest possible y, see `fit_scale`.

    Raises
    ------
    ConfigError
        x and y, or a band and its curve, differ in length; or a band has no curve.
    DataError
        The file cannot be written.

    Notes
    -----
    A curve of one point is a dot. Without any finite point the axes are empty, with the words
    "nothing to show yet". Equal input gives equal bytes with one version of Pillow.
    """
    curves = {name: _points(name, *pair) for name, pair in series.items()}
    areas = {name: _band(name, pair, curves) for name, pair in (bands or {}).items()}
    # The axes must also cover the bands.
    spread = [*curves.values()] + [half for area in areas.values() for half in area]
    finite = np.concatenate([curve[np.isfinite(curve).all(axis=1)] for curve in spread] or [[]])
    finite = finite.reshape(-1, 2)
    across = fit_scale(finite[:, 0], LEFT, WIDTH - RIGHT, tight=True)
    upwards = fit_scale(finite[:, 1], HEIGHT - BOTTOM, TOP, within=within)
    picture = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
    pen = ImageDraw.Draw(picture)
    _draw_grid(pen, across, upwards)
    for index, name in enumerate(curves):
        if name in areas:
            _draw_band(pen, areas[name], across, upwards, LINES[index % len(LINES)])
    for index, curve in enumerate(curves.values()):
        _draw_line(pen, curve, across, upwards, LINES[index % len(LINES)])
    for index, name in enumerate(curves):
        if marks and name in marks:
            place = np.array([marks[name]], np.float64)
            _draw_ring(pen, place, across, upwards, LINES[index % len(LINES)])
    picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    _letter(picture, across, upwards, (title, x_label, y_label), len(finite) == 0)
    _write_legend(ImageDraw.Draw(picture), list(curves), legend)
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", optimize=False)


def _points(name: str, x: Sequence[float], y: Sequence[float]) -> NDArray[np.float64]:
    if len(x) != len(y):
        raise ConfigError(f"curve {name!r}: {len(x)} x values but {len(y)} y values")
    return np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=1)


def _band(
    name: str, pair: tuple[Sequence[float], Sequence[float]], curves: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if name not in curves:
        raise ConfigError(f"band {name!r} has no curve; curves: {', '.join(curves)}")
    x = curves[name][:, 0].tolist()
    return _points(name, x, pair[0]), _points(name, x, pair[1])


def _draw_grid(pen: ImageDraw.ImageDraw, across: Scale, upwards: Scale) -> None:
    for tick in across.ticks:
        x = across(tick) * FINE
        pen.line([(x, TOP * FINE), (x, (HEIGHT - BOTTOM) * FINE)], fill=GRID, width=FINE)
    for tick in upwards.ticks:
        y = upwards(tick) * FINE
        pen.line([(LEFT * FINE, y), ((WIDTH - RIGHT) * FINE, y)], fill=GRID, width=FINE)
    corner = (LEFT * FINE, (HEIGHT - BOTTOM) * FINE)
    pen.line([(LEFT * FINE, TOP * FINE), corner], fill=INK, width=FINE)
    pen.line([corner, ((WIDTH - RIGHT) * FINE, (HEIGHT - BOTTOM) * FINE)], fill=INK, width=FINE)


def _pieces(curve: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Split a curve at its points that are not finite."""
    gaps = np.flatnonzero(~np.isfinite(curve).all(axis=1))
    pieces = [piece[np.isfinite(piece).all(axis=1)] for piece in np.split(curve, gaps)]
    return [piece for piece in pieces if len(piece)]


def _place(piece: NDArray[np.float64], across: Scale, upwards: Scale) -> list[tuple[float, float]]:
    return [(across(float(x)) * FINE, upwards(float(y)) * FINE) for x, y in piece]


def _draw_line(
    pen: ImageDraw.ImageDraw,
    curve: NDArray[np.float64],
    across: Scale,
    upwards: Scale,
    colour: Colour,
) -> None:
    for piece in _pieces(curve):
        places = _place(piece, across, upwards)
        if len(places) > 1:
            pen.line(places, fill=colour, width=2 * FINE, joint="curve")
        if len(places) <= 60:
            radius = 3 * FINE
            for x, y in places:
                pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def _draw_ring(
    pen: ImageDraw.ImageDraw,
    mark: NDArray[np.float64],
    across: Scale,
    upwards: Scale,
    colour: Colour,
) -> None:
    radius = 8 * FINE
    for x, y in _place(mark, across, upwards):
        box = [x - radius, y - radius, x + radius, y + radius]
        pen.ellipse(box, fill=PAPER, outline=colour, width=3 * FINE)


def _draw_band(
    pen: ImageDraw.ImageDraw,
    area: tuple[NDArray[np.float64], NDArray[np.float64]],
    across: Scale,
    upwards: Scale,
    colour: Colour,
) -> None:
    red, green, blue = ((part + 3 * 255) // 4 for part in colour)
    known = np.isfinite(area[0]).all(axis=1) & np.isfinite(area[1]).all(axis=1)
    edge = np.concatenate([area[0][known], area[1][known][::-1]])
    if known.sum() > 1:
        pen.polygon(_place(edge, across, upwards), fill=(red, green, blue))


def _letter(
    picture: Image.Image,
    across: Scale,
    upwards: Scale,
    texts: tuple[str, str, str],
    nothing: bool,
) -> None:
    """Write title, ticks and labels."""
    pen, small, large = ImageDraw.Draw(picture), load_font(15), load_font(20)
    title, x_label, y_label = texts
    pen.text((LEFT, 16), fit_text(title, WIDTH - LEFT - RIGHT, large), INK, large)
    for tick in across.ticks:
        pen.text((across(tick), HEIGHT - BOTTOM + 8), f"{tick:.6g}", INK, small, anchor="ma")
    for tick in upwards.ticks:
        pen.text((LEFT - 8, upwards(tick)), f"{tick:.6g}", INK, small, anchor="rm")
    middle = ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 28)
    pen.text(middle, fit_text(x_label, WIDTH - LEFT, small), INK, small, anchor="ma")
    side = Image.new("RGB", (HEIGHT - TOP - BOTTOM, 24), PAPER)
    shown = fit_text(y_label, side.width, small)
    ImageDraw.Draw(side).text((side.width / 2, 2), shown, INK, small, anchor="ma")
    picture.paste(side.rotate(90, expand=True), (6, TOP))
    if nothing:
        centre = ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2)
        pen.text(centre, "nothing to show yet", INK, large, anchor="mm")


def _write_legend(pen: ImageDraw.ImageDraw, names: list[str], corner: Corner) -> None:
    """Write the names into a box in a corner; without any name there is no box."""
    font = load_font(15)
    shown = [fit_text(name, 300, font) for name in names]
    if not any(shown):
        return
    width = max(font.getlength(name) for name in shown) + 44
    height = 22 * len(shown) + 8
    left = WIDTH - RIGHT - width - 8
    top = TOP + 8 if corner == "upper right" else HEIGHT - BOTTOM - 8 - height
    box = [left, top, WIDTH - RIGHT - 8, top + height]
    pen.rectangle(box, fill=PAPER, outline=GRID)
    for index, name in enumerate(shown):
        y = top + 15 + 22 * index
        pen.line([(left + 8, y), (left + 30, y)], LINES[index % len(LINES)], 3)
        pen.text((left + 36, y), name, INK, font, anchor="lm")
