"""Scores of several methods and all their pairwise differences, from the same resamples."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.interval import Interval
from cellflow.metrics.bootstrap import (
    N_DRAWS,
    Labels,
    degrees_of_freedom,
    interval_of,
    resampled_sums,
)

_ROUNDING = 1e-12
"""Equal methods may differ by this much, since sums of equal rows can run in another order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedEstimates:
    """Estimates of M methods on the same images.

    Parameters
    ----------
    scores : tuple of M Interval
    differences : tuple of Interval
        Of every two methods, in the order of `itertools.combinations`.
    difference_draws : (M (M - 1) / 2, D) float64
        Differences in each bootstrap draw.
    freedom : tuple of float
        Degrees of freedom of each difference.
    """

    scores: tuple[Interval, ...]
    differences: tuple[Interval, ...]
    difference_draws: NDArray[np.float64]
    freedom: tuple[float, ...]


def paired_estimates(
    parts: NDArray[np.float64],
    wholes: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
) -> PairedEstimates:
    """Give each method's score, the mean over thresholds of a ratio of sums, and all differences.

    Parameters
    ----------
    parts : (M, T, N) float64
        Numerators of M methods at T thresholds on N images; for a mean over images, the precision
        of each image.
    wholes : float64, broadcastable to (M, T, N)
        Denominators; for a mean over images, ones.
    rng, strata, clusters, n_draws
        As for `resampled_sums`.

    Notes
    -----
    0 / 0 is NaN, in the estimate as well as in draws; the interval ignores such draws.
    """
    n_images = parts.shape[-1]
    rows = np.concatenate([parts.reshape(-1, n_images), wholes.reshape(-1, n_images)])
    sums = resampled_sums(rows, rng=rng, strata=strata, clusters=clusters, n_draws=n_draws)
    n_parts = parts.shape[0] * parts.shape[1]
    draws = _ratio(
        sums[:n_parts].reshape(*parts.shape[:2], n_draws),
        sums[n_parts:].reshape(*wholes.shape[:2], n_draws),
    ).mean(axis=1)
    ratios = _ratio(parts.sum(axis=-1), wholes.sum(axis=-1))
    residuals = _residuals(parts, wholes, ratios)
    estimates = ratios.mean(axis=1)
    pairs = list(itertools.combinations(range(len(parts)), 2))
    first, second = (np.array([pair[side] for pair in pairs], int) for side in (0, 1))
    difference_draws = draws[first] - draws[second]
    difference_draws[np.abs(difference_draws) < _ROUNDING] = 0
    freedom = _freedom(residuals[first] - residuals[second], strata, clusters)
    return PairedEstimates(
        scores=_intervals(estimates, draws, _freedom(residuals, strata, clusters), (0, 1)),
        differences=_intervals(
            estimates[first] - estimates[second], difference_draws, freedom, (-1, 1)
        ),
        difference_draws=difference_draws,
        freedom=freedom,
    )


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
    return ratio


def _residuals(
    parts: NDArray[np.float64], wholes: NDArray[np.float64], ratios: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the contribution of each image to the deviation of each method's score, (M, N)."""
    weights = np.maximum(wholes.sum(axis=-1, keepdims=True), 1e-300)
    residuals: NDArray[np.float64] = (
        (parts - np.nan_to_num(ratios)[..., None] * wholes) / weights
    ).mean(axis=1)
    return residuals


def _freedom(residuals: NDArray[np.float64], strata: Labels, clusters: Labels) -> tuple[float, ...]:
    return tuple(degrees_of_freedom(row, strata, clusters) for row in residuals)


def _intervals(
    estimates: NDArray[np.float64],
    draws: NDArray[np.float64],
    freedom: Sequence[float],
    within: tuple[float, float],
) -> tuple[Interval, ...]:
    return tuple(
        interval_of(float(estimate), row, one, within=within)
        for estimate, row, one in zip(estimates, draws, freedom, strict=True)
    )
