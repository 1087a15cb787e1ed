import numpy as np
import pytest

from cellflow.data.images import read_image
from cellflow.errors import ConfigError
from cellflow.pictures.curves import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LINES,
    RIGHT,
    TOP,
    WIDTH,
    draw_curves,
)


def _draw(tmp_path, series, **options):
    draw_curves(tmp_path / "c.png", "title", series, "epoch", "loss", **options)
    return np.moveaxis(read_image(tmp_path / "c.png"), 0, -1)


def _where(picture, colour):
    """Give the rows and columns of a colour, without the legend at the upper right."""
    picture = picture.copy()
    picture[:150, 600:] = 255
    return np.nonzero((picture == colour).all(axis=-1))


def test_a_falling_line_falls_over_the_whole_width(tmp_path):
    picture = _draw(tmp_path, {"loss": ([0, 1, 2], [1.0, 0.5, 0.0])})
    assert picture.shape == (HEIGHT, WIDTH, 3)
    rows, columns = _where(picture, LINES[0])
    assert columns.min() <= LEFT + 2
    assert columns.max() >= WIDTH - RIGHT - 2
    assert rows[columns.argmin()] < rows[columns.argmax()]
    assert rows.min() == pytest.approx(TOP, abs=5)
    assert rows.max() == pytest.approx(HEIGHT - BOTTOM, abs=5)


def test_every_series_has_its_colour_and_a_band_is_pale(tmp_path):
    x = np.arange(5)
    series = {"a": (x, x), "b": (x, 4 - x)}
    picture = _draw(tmp_path, series, bands={"a": (x - 1, x + 1)})
    assert len(_where(picture, LINES[0])[0]) > 0
    assert len(_where(picture, LINES[1])[0]) > 0
    pale = tuple((part + 3 * 255) // 4 for part in LINES[0])
    assert len(_where(picture, pale)[0]) > 1000


def test_a_gap_breaks_the_line(tmp_path):
    whole = _where(_draw(tmp_path, {"": (range(9), [1.0] * 4 + [2.0] + [1.0] * 4)}), LINES[0])
    broken = {"": (range(9), [1.0] * 4 + [np.nan] + [1.0] * 4)}
    columns = _where(_draw(tmp_path, broken), LINES[0])[1]
    middle = (LEFT + WIDTH - RIGHT) // 2
    assert abs(whole[1] - middle).min() == 0
    assert abs(columns - middle).min() > 20


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"a": ([], [])},
        {"a": ([1], [np.nan])},
        {"a": ([1], [5.0])},
        {"a": ([0, 1], [0.0, 0.0])},
        {"a": ([0, 1], [1e-12, 3e12])},
        {"é 細": ([3, 3], [-1e-9, -2e-9])},
        {"a": (range(5000), np.zeros(5000))},
    ],
)
def test_any_series_can_be_drawn(tmp_path, series):
    assert _draw(tmp_path, series).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(("corner", "is_upper"), [("upper right", True), ("lower right", False)])
def test_the_names_stand_in_the_corner_that_is_asked_for(tmp_path, corner, is_upper):
    blank = _draw(tmp_path, {"": ([0, 1], [0.0, 1.0])})
    named = _draw(tmp_path, {"name": ([0, 1], [0.0, 1.0])}, legend=corner)
    rows, columns, _ = np.nonzero(named != blank)
    assert columns.min() > WIDTH / 2
    assert (rows.max() < HEIGHT / 2) if is_upper else (rows.min() > HEIGHT / 2)


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        draw_curves(tmp_path / name, "t", {"s": ([0, 1], [2, 3])}, "x", "y")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_series_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="curve 'a': 2 x values but 3 y values"):
        _draw(tmp_path, {"a": ([0, 1], [1, 2, 3])})
    with pytest.raises(ConfigError, match="band 'b' has no curve; curves: a"):
        _draw(tmp_path, {"a": ([0, 1], [1, 2])}, bands={"b": ([0, 0], [1, 1])})
    assert list(tmp_path.iterdir()) == []
