"""Bars are drawn to scale, with their intervals, and equally each time."""

import numpy as np
import pytest
from PIL import Image

from cellflow.interval import Interval
from cellflow.pictures.bars import LEFT, RIGHT, WIDTH, draw_bars
from cellflow.pictures.curves import LINES


def interval(estimate, low=float("nan"), high=float("nan")):
    return Interval(estimate=estimate, low=low, high=high)


def test_a_bar_is_as_long_as_its_value(tmp_path):
    path = tmp_path / "bars.png"
    draw_bars(path, "t", {"a": {"x": interval(0.5), "y": interval(0.25)}}, "mAP")
    picture = np.array(Image.open(path))
    # The axis goes from 0 to 0.5.
    lengths = [(np.abs(picture.astype(int) - colour).sum(axis=2) < 30).any(axis=0).sum()
               for colour in LINES[:2]]  # fmt: skip
    assert lengths[0] == pytest.approx(WIDTH - LEFT - RIGHT, abs=4)
    assert lengths[1] == pytest.approx(lengths[0] / 2, abs=4)


def test_values_below_0_and_missing_ones_are_no_problem(tmp_path):
    groups = {"a": {"x": interval(-0.1, -0.3, 0.1)}, "b": {"x": interval(float("nan"))}, "c": {}}
    draw_bars(tmp_path / "one.png", "t", groups, "gain")
    draw_bars(tmp_path / "two.png", "t", groups, "gain")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    draw_bars(tmp_path / "none.png", "nothing", {}, "gain")
    assert Image.open(tmp_path / "none.png").width == WIDTH
