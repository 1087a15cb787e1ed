"""Error bars: a bootstrap over images, stratified by cell type and clustered by plate and well.

Whole clusters are resampled within each stratum; an image without a cluster is a cluster of its
own. All rows of one call share the resamples, so that differences of their sums are paired.

How it works: of the n clusters of a stratum, n - 1 are drawn with replacement and weighted by
n / (n - 1), which makes the variance of the draws unbiased for any n. The percentiles are taken
further out, by as much as Student's t distribution is wider than the normal one. With a handful of
clusters there are too few different draws for that; there the interval is at least as wide as
Student's. `benchmarks/interval_coverage.py` simulates how often intervals hold the true value.

References
----------
J. N. K. Rao & C. F. J. Wu, "Resampling Inference With Complex Survey Data", Journal of the
American Statistical Association 83 (1988).
T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69
(2015), section 5.3 (percentiles further out).
F. E. Satterthwaite, "An Approximate Distribution of Estimates of Variance Components", Biometrics
Bulletin 2 (1946).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cellflow.errors import DataError
from cellflow.interval import Interval

FEW = 10.0
"""Degrees of freedom below which an interval is at least as wide as Student's."""

N_DRAWS = 10_000
"""Resamples; the bounds then differ by less than 0.001 between seeds."""

_MOST_COUNTS = 2**22
"""Counts of drawn clusters held in memory at once, at most; 8 bytes each."""

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
        K quantities of N images. To get means, include a row of ones and divide by its sums.
    rng : numpy.random.Generator
    strata, clusters : sequence of N str or None, optional
        Cell type, and plate + well, of each image. An image whose cluster is None is a cluster of
        its own. A cluster in several strata belongs to that of its first image.
    n_draws : int

    Returns
    -------
    (K, n_draws) float64

    Notes
    -----
    The variance of the draws is an unbiased estimate of the variance of the sums. A stratum with a
    single cluster says nothing about its spread, and is merged with the next one in alphabetical
    order. With one cluster in total, every draw is the sum itself.
    """
    cluster_sums, stratum = _cluster_sums(values, strata, clusters)
    sums = np.zeros((len(values), n_draws))
    for members in (cluster_sums[:, stratum == number] for number in np.unique(stratum)):
        size = members.shape[1]
        at_once = max(1, _MOST_COUNTS // size)
        for first in range(0, n_draws, at_once):
            block = sums[:, first : first + at_once]
            block += members @ _draw_weights(size, block.shape[1], rng).T
    return sums


def mean_interval(
    values: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Give the mean over images with its 95 % bootstrap interval.

    Parameters
    ----------
    values : (N,) float64
        One number per image: a score, or the difference of the scores of two models.
    rng, strata, clusters, n_draws
        As for `resampled_sums`.
    within : (float, float)
        Smallest and largest possible mean; the interval is clipped to it.

    Returns
    -------
    Interval
        The bounds are NaN if there is only one cluster, since nothing varies then.

    Raises
    ------
    DataError
        There is no image, or `strata` or `clusters` are not as many as the images.

    Notes
    -----
    The bounds are percentiles of the bootstrap means, widened for few images, see `interval_of`.
    """
    if len(values) == 0:
        raise DataError("no image to take a mean over")
    values = np.asarray(values, np.float64)
    rows = np.stack([values, np.ones(len(values))])
    sums = resampled_sums(rows, rng=rng, strata=strata, clusters=clusters, n_draws=n_draws)
    freedom = degrees_of_freedom(values - values.mean(), strata, clusters)
    return interval_of(float(np.mean(values)), sums[0] / sums[1], freedom, within=within)


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
) -> Interval:
    """Give the mean of ``first - second`` over the same images, with its interval.

    Parameters and notes are those of `mean_interval`; scores are from 0 to 1, so the difference is
    from -1 to 1.

    Raises
    ------
    DataError
        As `mean_interval`, or the two are not scores of equally many images.
    """
    if len(first) != len(second):
        raise DataError(f"{len(first)} scores cannot be paired with {len(second)}")
    return mean_interval(
        np.asarray(first) - np.asarray(second),
        rng=rng,
        strata=strata,
        clusters=clusters,
        n_draws=n_draws,
        within=(-1, 1),
    )


def degrees_of_freedom(
    residuals: NDArray[np.float64], strata: Labels = None, clusters: Labels = None
) -> float:
    """Estimate the degrees of freedom of the standard error of a mean.

    Parameters
    ----------
    residuals : (N,) float64
        Contribution of each image to the deviation of the estimate: its score minus the mean, or,
        for a ratio of sums, its numerator minus the ratio times its denominator.
    strata, clusters
        As for `resampled_sums`.

    Returns
    -------
    float
        Satterthwaite's approximation: at least the number of clusters in the smallest stratum minus
        one; at most the number of all clusters minus that of strata, also if nothing varies. 0 with
        a single cluster.

    Examples
    --------
    >>> degrees_of_freedom(np.array([1.0, -1.0, 2.0, -2.0]))
    3.0
    """
    sums, stratum = _cluster_sums(residuals[None], strata, clusters)
    members = [sums[0, stratum == number] for number in np.unique(stratum)]
    if len(members) == 1 and len(members[0]) == 1:
        return 0.0
    freedom = np.array([len(one) - 1 for one in members])
    variances = np.array([len(one) * one.var(ddof=1) for one in members])
    if variances.sum() == 0:
        return float(freedom.sum())
    return float(variances.sum() ** 2 / (variances**2 / freedom).sum())


def interval_of(
    estimate: float,
    draws: NDArray[np.float64],
    freedom: float,
    *,
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Turn bootstrap draws into a 95 % interval.

    Parameters
    ----------
    estimate : float
    draws : (D,) float64
        From `resampled_sums`. NaN draws, for instance from 0 / 0, are ignored.
    freedom : float
        From `degrees_of_freedom`.
    within : (float, float)
        As for `mean_interval`.

    Notes
    -----
    The percentiles are "expanded" by Student's t: with 9 degrees of freedom the 95 % interval goes
    from the 1.2th to the 98.8th percentile. With fewer than `FEW` degrees of freedom it reaches at
    least as far as Student's interval, estimate ± t · standard error. This is needed since draws
    never leave the range of the clusters: with three clusters, that range holds the true mean in
    only 75 % of cases.
    """
    valid = draws[~np.isnan(draws)]
    if freedom <= 0 or len(valid) == 0:
        return Interval(estimate=estimate, low=float("nan"), high=float("nan"))
    t = float(stats.t.ppf(0.975, freedom))
    tail = float(stats.norm.cdf(-t))
    low, high = np.quantile(valid, [tail, 1 - tail])
    if freedom < FEW:
        reach = t * valid.std()
        low, high = min(low, estimate - reach), max(high, estimate + reach)
    low, high = np.clip([low, high], *within)
    return Interval(estimate=estimate, low=float(low), high=float(high))


def standard_error(draws: NDArray[np.float64], freedom: float) -> float:
    """Give the standard deviation of bootstrap draws; NaN without degrees of freedom.

    Parameters are those of `interval_of`.
    """
    return float(np.nanstd(draws)) if freedom > 0 else float("nan")


def _draw_weights(size: int, n_draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give the weight of each of `size` clusters in each draw, (n_draws, size)."""
    n_drawn = max(size - 1, 1)
    drawn = rng.integers(0, size, (n_draws, n_drawn)) + size * np.arange(n_draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=n_draws * size).reshape(n_draws, size)
    weights: NDArray[np.float64] = counts * (size / n_drawn)
    return weights


def _cluster_sums(
    values: NDArray[np.float64], strata: Labels, clusters: Labels
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give the sums over each cluster, (K, n_clusters), and the index of its stratum."""
    n_images = values.shape[1]
    for what, given in (("strata", strata), ("clusters", clusters)):
        if given is not None and len(given) != n_images:
            raise DataError(f"{what}: expected one for each of {n_images} images, not {len(given)}")
    names = clusters if clusters is not None else [None] * n_images
    keys = [(0, str(i)) if name is None else (1, name) for i, name in enumerate(names)]
    index_of = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    index = np.array([index_of[key] for key in keys])
    sums = np.zeros((len(values), len(index_of)))
    for row, column in zip(sums, values, strict=True):
        np.add.at(row, index, column)
    stratum = np.array([str(name) for name in (strata if strata is not None else [""] * n_images)])
    first_image = np.unique(index, return_index=True)[1]
    return sums, _without_single(np.unique(stratum[first_image], return_inverse=True)[1])


def _without_single(stratum: NDArray[Any]) -> NDArray[np.int64]:
    """Merge strata that have one cluster with the next stratum, the last with the one before."""
    joined = stratum.astype(np.int64)
    for number in range(int(joined.max())):
        if (joined == number).sum() == 1:
            joined[joined == number] = number + 1
    last = int(joined.max())
    if (joined == last).sum() == 1 and len(joined) > 1:
        joined[joined == last] = joined[joined < last].max()
    return joined
