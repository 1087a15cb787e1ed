"""Which differences a number of images can show, and the luck of a public/private split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cellflow.interval import Interval

IMAGE_COUNTS = (30, 119, 240, 606)
"""Numbers of images for which the smallest visible difference is given: about as many as the real
images of this project, a fifth of the competition's training images, its hidden test images, and
all its training images."""

SIGNIFICANCE = 0.05
"""Corrected p below which a difference counts as beyond chance."""

N_FLIPS = 10_000
EXACT_UP_TO = 14
"""Number of images (or clusters) up to which all 2^n sign flips are tried."""


def smallest_visible(
    standard_error: float,
    n_images: int,
    counts: Sequence[int],
    *,
    freedom: float = np.inf,
    n_groups: float = np.inf,
) -> dict[int, float]:
    """Give the difference that numbers of images would show with 80 % power at the 5 % level.

    Parameters
    ----------
    standard_error : float
        Of the paired difference on `n_images` images.
    n_images : int
    counts : sequence of int
        Numbers of images of the same kind, with the same shares of cell types and as many images
        a cluster.
    freedom : float
        Degrees of freedom of the standard error; scaled with the number of images. With many, the
        difference is 2.8 standard errors, 1.96 + 0.84.
    n_groups : float
        Independent groups among the `n_images`.

    Returns
    -------
    dict of int to float
        NaN if nothing varies; infinity if no difference of two scores is large enough, or if there
        are too few groups for a p below 5 % by sign flips.

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
        Paired difference on `n_images` images, assumed to be the true one.
    n_images, n_hidden : int
    public_share : float
        Of the hidden images, above 0 and below 1.

    Notes
    -----
    The mean differences of the two parts are taken as normal and independent, with the same mean
    and the standard errors for their numbers of images. For equal methods the chance is 0.5.
    """
    if np.isnan(standard_error):
        return float("nan")
    if standard_error == 0:
        return 0.0 if difference else 0.5
    sizes = np.array([public_share * n_hidden, (1 - public_share) * n_hidden])
    public, private = stats.norm.cdf(difference / (standard_error * np.sqrt(n_images / sizes)))
    return float(public * (1 - private) + private * (1 - public))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for multiple comparisons (S. Holm, Scand. J. Statist. 6, 1979).

    Returns
    -------
    list of float
        In the same order, each at least its own p and at most 1. If all those below 0.05 are called
        differences, the chance that any of these calls is wrong is at most 5 %.

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
    """Give the two-sided p value of paired differences, and whether it is exact.

    Parameters
    ----------
    differences : (N,) float64
        Between two methods, one per image.
    clusters : sequence of N str or None
        Images of one cluster are flipped together; None = the image alone.
    seed : int
        Of the flips; see `sign_flip_p_value`.
    """
    sums: dict[object, float] = {}
    for index, (value, cluster) in enumerate(zip(differences, clusters, strict=True)):
        key = index if cluster is None else cluster
        sums[key] = sums.get(key, 0.0) + float(value)
    return sign_flip_p_value(np.array(list(sums.values())), np.random.default_rng(seed))


def is_beyond_chance(difference: Interval, p_value: float) -> bool:
    """Tell whether both interval and p value rule out chance, at the 5 % level.

    Notes
    -----
    With a handful of images the two may disagree: the p of five images is never below 0.0625.
    """
    return (difference.low > 0 or difference.high < 0) and p_value < SIGNIFICANCE


def sign_flip_p_value(
    differences: NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, bool]:
    """Give the two-sided p value of a sign-flip permutation test of a mean difference.

    Parameters
    ----------
    differences : (N,) float64
        One per image, or one sum per cluster.
    rng : numpy.random.Generator
        Draws `N_FLIPS` random flips if all 2^N are too many.

    Returns
    -------
    p : float
    is_exact : bool
        Whether all flips were tried.

    Notes
    -----
    Exact up to `EXACT_UP_TO` values. Beyond that, the observed signs count as one of the draws, so
    p is never 0.
    """
    n = len(differences)
    observed = abs(differences.sum()) - 1e-12
    if n <= EXACT_UP_TO:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((np.abs((1 - 2 * bits) @ differences) >= observed).mean()), True
    signs = rng.integers(0, 2, size=(N_FLIPS, n), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ differences) >= observed).sum()) / (1 + N_FLIPS)), False
