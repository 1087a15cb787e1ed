"""An interval reads as estimate and bounds, also where it has none."""

import json
import math
from dataclasses import asdict

import numpy as np

from cellflow.interval import Interval
from cellflow.jsontext import to_json


def test_an_interval_reads_as_estimate_and_bounds():
    assert str(Interval(estimate=0.3309, low=0.27, high=0.392)) == "0.331 [0.270, 0.392]"
    alone = Interval(estimate=0.3309, low=math.nan, high=math.nan)
    assert str(alone) == "0.331 (no interval)"
    assert alone.signed() == "+0.331 (no interval)"
    assert alone.bounds() == "no interval"
    difference = Interval(estimate=0.056, low=-0.032, high=0.079)
    assert difference.signed() == "+0.056 [-0.032, +0.079]"
    assert difference.bounds("+.2f") == "-0.03 to +0.08"
    assert difference.turned().signed() == "-0.056 [-0.079, +0.032]"


def test_an_interval_comes_back_from_a_file_that_knows_no_nan():
    for interval in (
        Interval(estimate=0.3, low=0.2, high=0.4, level=0.9),
        Interval(estimate=0.3, low=math.nan, high=math.nan),
    ):
        back = Interval.from_dict(json.loads(to_json(asdict(interval))))
        np.testing.assert_equal(asdict(back), asdict(interval))
