"""Error bars: the bootstrap over images, stratified by cell type, clustered by plate and well.

Resampling is of whole clusters within each stratum; an image without a cluster is its own. All
rows of one call share the resamples, so that differences of their sums are paired.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cellflow.errors import DataError
from cellflow.records import Interval

N_DRAWS = 10_000
"""Resamples; the bounds then move by less than 0.001 between seeds."""

Labels = Sequence[str | None] | None


def resampled_sums(
    values: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
) -> NDArray[np.float64]:
    """Give the sums over resampled images.

    Parameters
    ----------
    values : (K, N) float64
        K quantities of N images. With a row of ones among them, ratios give means.
    rng : numpy.random.Generator
    strata, clusters : sequence of N, optional
        Cell type, and plate + well. A cluster that is None is the image alone; one that spans
        several strata counts to that of its first image.
    n_draws : int

    Returns
    -------
    (K, n_draws) float64
    """
    cluster_sums, cluster_strata = _cluster_sums(values, strata, clusters)
    sums = np.zeros((len(values), n_draws))
    for stratum in np.unique(cluster_strata):
        members = cluster_sums[:, cluster_strata == stratum]
        # Counts of each member suffice, and are drawn at once.
        size = members.shape[1]
        counts = rng.multinomial(size, np.full(size, 1 / size), size=n_draws)
        sums += members @ counts.T
    return sums


def mean_interval(
    values: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
    level: float = 0.95,
) -> Interval:
    """Give the mean over images with its bootstrap interval.

    Parameters
    ----------
    values : (N,) float64
        One number an image: a score, or the difference of two models' scores.
    rng, strata, clusters, n_draws
        As for `resampled_sums`.
    level : float
        Confidence level.

    Returns
    -------
    Interval
        The bounds are NaN when no stratum has two clusters, since nothing can vary then.

    Raises
    ------
    DataError
        There is no image.

    Notes
    -----
    Percentiles of the bootstrap means, widened for few images as `interval_of` says.
    """
    if len(values) == 0:
        raise DataError("no image to take a mean over")
    rows = np.stack([np.asarray(values, np.float64), np.ones(len(values))])
    sums = resampled_sums(rows, rng=rng, strata=strata, clusters=clusters, n_draws=n_draws)
    freedom = degrees_of_freedom(len(values), strata, clusters)
    return interval_of(float(np.mean(values)), sums[0] / sums[1], freedom, level)


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
    level: float = 0.95,
) -> Interval:
    """Give the mean of ``first - second`` over the same images, with its interval.

    Parameters and notes are those of `mean_interval`.
    """
    difference = np.asarray(first) - np.asarray(second)
    return mean_interval(
        difference, rng=rng, strata=strata, clusters=clusters, n_draws=n_draws, level=level
    )


def degrees_of_freedom(n_images: int, strata: Labels, clusters: Labels) -> tuple[int, int]:
    """Give the number of clusters, and that number less one for every stratum."""
    _, cluster_strata = _cluster_sums(np.ones((1, n_images)), strata, clusters)
    return len(cluster_strata), len(cluster_strata) - len(np.unique(cluster_strata))


def interval_of(
    estimate: float, draws: NDArray[np.float64], freedom: tuple[int, int], level: float = 0.95
) -> Interval:
    """Turn bootstrap draws into an interval with the small-sample correction.

    Parameters
    ----------
    estimate : float
    draws : (D,) float64
    freedom : (clusters, degrees of freedom)
        From `degrees_of_freedom`.
    level : float

    Notes
    -----
    Resampling n values understates their spread by sqrt(df / n) and the normal tail understates
    Student's. Both are mended by taking percentiles further out ("expanded percentiles").

    References
    ----------
    T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69
    (2015), section 5.3.
    """
    n_clusters, df = freedom
    if df < 1:
        return Interval(estimate=estimate, low=float("nan"), high=float("nan"), level=level)
    reach = stats.t.ppf((1 + level) / 2, df) * np.sqrt(n_clusters / df)
    tail = float(stats.norm.cdf(-reach))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(estimate=estimate, low=float(low), high=float(high), level=level)


def standard_error(draws: NDArray[np.float64], freedom: tuple[int, int]) -> float:
    """Give the standard deviation of bootstrap draws with the small-sample correction.

    Parameters are those of `interval_of`. NaN when nothing can vary.
    """
    n_clusters, df = freedom
    return float(draws.std() * np.sqrt(n_clusters / df)) if df > 0 else float("nan")


def _cluster_sums(
    values: NDArray[np.float64], strata: Labels, clusters: Labels
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Sum the columns of each cluster; give also each cluster's stratum."""
    n_images = values.shape[1]
    names = clusters if clusters is not None else [None] * n_images
    keys = [(0, str(i)) if name is None else (1, name) for i, name in enumerate(names)]
    index_of = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    index = np.array([index_of[key] for key in keys])
    sums = np.zeros((len(values), len(index_of)))
    for row, column in zip(sums, values, strict=True):
        np.add.at(row, index, column)
    stratum = np.array([str(name) for name in (strata if strata is not None else [""] * n_images)])
    first_image = np.unique(index, return_index=True)[1]
    return sums, stratum[first_image]
