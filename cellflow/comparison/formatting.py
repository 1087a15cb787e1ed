"""Intervals, probabilities and long sentences as text of at most 100 columns."""

import textwrap
from collections.abc import Sequence

import numpy as np

from cellflow.records import Interval

WIDTH = 100


def wrapped(sentences: Sequence[str]) -> list[str]:
    """Break sentences into lines; what goes on is set in."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]


def bounds(interval: Interval, *, with_sign: bool = False) -> str:
    """Write ``0.353 to 0.421``; "none" without an interval."""
    if np.isnan(interval.low):
        return "none"
    sign = "+" if with_sign else ""
    return f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}"


def p_value(p: float) -> str:
    """Write ``0.136``, or that it is below a thousandth."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
