"""Axes of plots: round ticks, and the mapping of values to positions."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Linear mapping of values to positions along one axis.

    Parameters
    ----------
    low, high : float
        Values at the ends of the axis.
    first, last : float
        Positions of the ends, for instance in pixels.
    ticks : tuple of float
        Round values between them, ascending.
    """

    low: float
    high: float
    first: float
    last: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Give the position of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


def fit_scale(
    values: NDArray[np.float64],
    first: float,
    last: float,
    *,
    tight: bool = False,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Scale:
    """Choose round ticks, and limits at ticks or, if `tight`, at the extreme values.

    Parameters
    ----------
    values : (N,) float64
        Finite; if empty, the axis goes from 0 to 1.
    first, last : float
        Positions of the lower and the upper end of the axis.
    tight : bool
        Whether the axis ends at the extreme values.
    within : (float, float)
        Smallest and largest possible value. If all values are equal, the axis is widened around
        them, but not beyond these.

    Examples
    --------
    >>> fit_scale(np.array([0.03, 0.41]), 0, 100).ticks
    (0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5)
    >>> fit_scale(np.zeros(3), 0, 100, within=(0, 1)).ticks
    (0.0, 0.1, 0.2, 0.30000000000000004, 0.4, 0.5)
    """
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        least, most = min(low, within[0]), max(high, within[1])
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
        low, high = max(low, least), min(high, most)
    step = _round_step((high - low) / 5)
    n_below, n_above = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(step * k for k in range(n_below, n_above + 1))
    if tight:
        ticks = tuple(tick for tick in ticks if low - step / 1e6 <= tick <= high + step / 1e6)
    else:
        low, high = ticks[0], ticks[-1]
    return Scale(low=low, high=high, first=first, last=last, ticks=ticks)


def _round_step(step: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)
