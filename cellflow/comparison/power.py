"""What a number of images can show, and what the luck of a split can hide."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cellflow.interval import Interval

IMAGE_COUNTS = (30, 119, 240, 606)
"""Numbers of images for which the smallest visible difference is told: the images at hand, a fifth
of the competition's training images, its hidden test images, all of its training images."""

SIGNIFICANCE = 0.05
"""Corrected p below which a difference counts as more than chance."""

N_FLIPS = 10_000
EXACT_UP_TO = 14
"""Images (or clusters) up to which all 2^n sign flips are tried."""


def smallest_visible(
    standard_error: float,
    n_images: int,
    counts: Sequence[int],
    *,
    freedom: float = np.inf,
    n_groups: float = np.inf,
) -> dict[int, float]:
    """Give the difference that so many images would show with 80 % power at the 5 % level.

    Parameters
    ----------
    standard_error : float
        Of the paired difference on `n_images` images.
    n_images : int
    counts : sequence of int
        Numbers of images of the same kind, with the same shares of cell types and as many images
        a cluster.
    freedom : float
        Degrees of freedom that the standard error rests on, in proportion to the images; with
        many the difference is 2.8 standard errors, 1.96 + 0.84.
    n_groups : float
        Independent groups among the `n_images`.

    Returns
    -------
    dict of int to float
        NaN where nothing varies; infinity where no difference of two scores is large enough, or
        where the sign flips of so few groups are never rarer than the 5 %.

    Examples
    --------
    >>> found = smallest_visible(0.125, 100, [100, 400])
    >>> {count: round(size, 3) for count, size in found.items()}
    {100: 0.35, 400: 0.175}
    """
    if not freedom > 0:
        return dict.fromkeys(counts, float("nan"))
    found = {}
    for count in counts:
        more = count / n_images
        factor = float(stats.t.ppf([0.975, 0.8], freedom * more).sum())
        size = factor * standard_error / np.sqrt(more)
        is_possible = size <= 1 and 2 * 0.5 ** (n_groups * more) < SIGNIFICANCE
        found[count] = float(size) if is_possible or np.isnan(size) else np.inf
    return found


def flip_chance(
    difference: float,
    standard_error: float,
    n_images: int,
    *,
    n_hidden: int,
    public_share: float,
) -> float:
    """Give the chance that public and private part of a hidden test set disagree on the order.

    Parameters
    ----------
    difference, standard_error : float
        Paired difference on `n_images` images, taken for the true one.
    n_images, n_hidden : int
    public_share : float
        Of the hidden images, above 0 and below 1.

    Notes
    -----
    The mean differences of the two parts are normal and independent, around the same value; their
    standard errors are those of so many images. The chance for methods that are equal is 0.5.
    """
    if np.isnan(standard_error):
        return float("nan")
    if standard_error == 0:
        return 0.0 if difference else 0.5
    sizes = np.array([public_share * n_hidden, (1 - public_share) * n_hidden])
    public, private = stats.norm.cdf(difference / (standard_error * np.sqrt(n_images / sizes)))
    return float(public * (1 - private) + private * (1 - public))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for how many there are (S. Holm, Scand. J. Statist. 6, 1979).

    Returns
    -------
    list of float
        In the same order, each at least its own p and at most 1: calling those below 0.05
        differences is wrong anywhere among them in at most 5 % of cases.

    Examples
    --------
    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected


def paired_p_value(
    differences: NDArray[np.float64], clusters: Sequence[str | None], seed: int
) -> tuple[float, bool]:
    """Give the two-sided p that images differ so by chance, and whether it is exact.

    Parameters
    ----------
    differences : (N,) float64
        Of two methods, one an image.
    clusters : sequence of N str or None
        Images of one cluster change sides together; None is the image alone.
    seed : int
        Of the flips; see `sign_flip_p_value`.
    """
    sums: dict[object, float] = {}
    for index, (value, cluster) in enumerate(zip(differences, clusters, strict=True)):
        key = index if cluster is None else cluster
        sums[key] = sums.get(key, 0.0) + float(value)
    return sign_flip_p_value(np.array(list(sums.values())), np.random.default_rng(seed))


def is_beyond_chance(difference: Interval, p_value: float) -> bool:
    """Tell whether interval and p both speak against chance, at the 5 % level.

    Notes
    -----
    Either alone may say so of a handful of images: five have no p below 0.0625.
    """
    return (difference.low > 0 or difference.high < 0) and p_value < SIGNIFICANCE


def sign_flip_p_value(
    differences: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, bool]:
    """Give the two-sided p that differences as far from 0 arise by chance.

    Parameters
    ----------
    differences : (N,) float64
        One an image, or one sum a cluster.
    rng : numpy.random.Generator
        Of `N_FLIPS` random flips, where all 2^N are too many.

    Returns
    -------
    p : float
    is_exact : bool
        Whether all flips were tried.

    Notes
    -----
    Exact up to `EXACT_UP_TO` values. Beyond, the observed arrangement counts as one of the
    draws, so that p is never 0.
    """
    n = len(differences)
    observed = abs(differences.sum()) - 1e-12
    if n <= EXACT_UP_TO:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((np.abs((1 - 2 * bits) @ differences) >= observed).mean()), True
    signs = rng.integers(0, 2, size=(N_FLIPS, n), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ differences) >= observed).sum()) / (1 + N_FLIPS)), False
