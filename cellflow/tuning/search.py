"""Search for the best settings of each cell type by image scores; the defaults if in doubt."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import correlate1d

from cellflow.metrics.by_type import indices_by_type
from cellflow.tuning.choice import ALL_TYPES, FEWEST_IMAGES
from cellflow.tuning.grid import Index

DOUBT = 0.025
"""Significance level, by a one-sided t test, at which a change of settings is made: the probability
that a useless change gains as much on images that did not choose it. It is small, since several
changes are tested."""
SMALLEST_GAIN = 1e-4
"""Gain, in mAP, that the lower bound must exceed for a change to be worth making."""
MOST_MOVES = 8
WEIGHTS = (0.25, 0.5, 0.25)
"""Smoothing weights of a place and its neighbours along an axis."""
EQUAL = 1e-6
"""Scores that differ by at most this are equal: the grid is computed in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Gain of a choice over the settings in use, and whether it is significant.

    Parameters
    ----------
    n_images : int
    n_groups : int
        Number of independent groups of images.
    gain : float
        Mean over images, each with settings chosen on the other folds.
    error : float
        Standard error of the gain; NaN with a single group.
    """

    n_images: int
    n_groups: int
    gain: float
    error: float

    @property
    def lower_bound(self) -> float:
        """One-sided confidence bound of the gain at level `DOUBT`; -inf if the error is NaN."""
        if np.isnan(self.error):
            return -np.inf
        return float(self.gain - stats.t.ppf(1 - DOUBT, self.n_groups - 1) * self.error)

    @property
    def is_kept(self) -> bool:
        """Whether the gain is significant, so that the choice is kept."""
        return self.lower_bound > SMALLEST_GAIN

    def followed_by(self, later: "Verdict") -> "Verdict":
        """Give the verdict on two successive changes; `later` starts where this one ended."""
        return Verdict(
            n_images=self.n_images,
            n_groups=self.n_groups,
            gain=self.gain + later.gain,
            error=float(np.hypot(self.error, later.error)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Chosen places on the grid.

    Parameters
    ----------
    places : dict of str to Index
        For the cell types that have settings of their own, and for all other images (`ALL_TYPES`).
    verdicts : dict of str to Verdict
        For `ALL_TYPES`, over the defaults; for each type with enough images, over the choice for
        `ALL_TYPES`.
    """

    places: dict[str, Index]
    verdicts: dict[str, Verdict]

    def of_type(self, cell_type: str | None) -> Index:
        """Give the place for images of a cell type; None = unknown."""
        return self.places.get(cell_type or ALL_TYPES, self.places[ALL_TYPES])


def choose_settings(
    scores: NDArray[np.float32],
    cell_types: Sequence[str | None],
    groups: Sequence[str],
    folds: NDArray[np.int64],
    default: Index,
) -> Choice:
    """Choose settings for all images, then for each cell type with enough images.

    Parameters
    ----------
    scores : (N, grid…) float32
        Of N images at every place of the grid.
    cell_types : sequence of N str or None
    groups : sequence of N str
        Images of one group count as one observation.
    folds : (N,) int64
        For the cross-validation that decides whether a choice is kept.
    default : Index
        The settings in use.

    Notes
    -----
    A type with fewer than `FEWEST_IMAGES` independent groups of images gets the common settings.
    """
    numbers = np.unique(np.array(groups, object).astype(str), return_inverse=True)[1]
    common, verdicts = climb(scores, numbers, folds, default)
    places, told = {ALL_TYPES: common}, {ALL_TYPES: verdicts}
    for kind, own in indices_by_type(cell_types).items():
        if len(np.unique(numbers[own])) >= FEWEST_IMAGES:
            place, told[kind] = climb(scores[own], numbers[own], folds[own], common)
            if place != common:
                places[kind] = place
    return Choice(places=places, verdicts=told)


def climb(
    scores: NDArray[np.float32], groups: NDArray[np.int64], folds: NDArray[np.int64], start: Index
) -> tuple[Index, Verdict]:
    """Change settings step by step while a change gains on images that did not choose it.

    Parameters
    ----------
    scores : (N, grid…) float32
    groups, folds : (N,) int64
    start : Index
        The settings in use.

    Returns
    -------
    place : Index
    verdict : Verdict
        On all changes together; if none is made, on the best one that was rejected.

    Notes
    -----
    A move goes to the best place along one axis or two: the fewer places to choose from, the less
    the best of them owes to luck (docs/log.md). In each step the move with the largest lower bound
    is made, as long as that is above `SMALLEST_GAIN`, at most `MOST_MOVES` times.
    """
    place, taken = start, None
    for _ in range(MOST_MOVES):
        tried = [
            (judge(scores, groups, folds, place, axes), axes) for axes in _moves(scores.shape[1:])
        ]
        verdict, axes = max(tried, key=lambda pair: pair[0].lower_bound)
        if not verdict.is_kept:
            return place, taken or verdict
        place = best_place(scores, place, axes)
        taken = verdict if taken is None else taken.followed_by(verdict)
    return place, taken or verdict


def _moves(shape: Index) -> list[tuple[int, ...]]:
    """Give the axes of each move: all single axes and pairs, of those with more than one value.

    On a grid of a single place the only move is to stay.
    """
    axes = [axis for axis, n_values in enumerate(shape) if n_values > 1]
    return [*itertools.combinations(axes, 1), *itertools.combinations(axes, 2)] or [()]


def judge(
    scores: NDArray[np.float32],
    groups: NDArray[np.int64],
    folds: NDArray[np.int64],
    used: Index,
    axes: Sequence[int],
) -> Verdict:
    """Give the gain of places chosen on the other folds over the one in use.

    Parameters
    ----------
    scores : (N, grid…) float32
    groups, folds : (N,) int64
        All images of a group must be in one fold.
    used : Index
    axes : sequence of int
        Axes along which a place may be chosen.
    """
    n, gains = len(scores), np.zeros(len(scores))
    for fold in np.unique(folds):
        is_out = folds == fold
        if is_out.all():
            return Verdict(n_images=n, n_groups=1, gain=0.0, error=float("nan"))
        place = best_place(scores[~is_out], used, axes)
        gains[is_out] = scores[(is_out, *place)] - scores[(is_out, *used)]
    of_group = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(of_group, gains - gains.mean())
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / n
    return Verdict(n_images=n, n_groups=len(sums), gain=float(gains.mean()), error=float(error))


def best_place(scores: NDArray[np.float32], used: Index, axes: Sequence[int]) -> Index:
    """Give the place with the best mean score after smoothing over neighbouring places.

    Parameters
    ----------
    scores : (N, grid…) float32
    used : Index
        The settings in use; the other axes keep theirs.
    axes : sequence of int
        Axes along which the place may be chosen, ascending.

    Notes
    -----
    The best of many noisy means is a lucky one; a plateau is not. So scores are smoothed with
    `WEIGHTS` along each of these axes that has more than two values; at the ends of the grid a
    place replaces its missing neighbour. Among equal places the one with the fewest steps from the
    settings in use is taken, then the first.
    """
    along = tuple(slice(None) if axis in axes else at for axis, at in enumerate(used))
    smooth = scores[(slice(None), *along)].mean(axis=0, dtype=np.float64)
    for axis, n_values in enumerate(smooth.shape):
        if n_values > 2:
            smooth = correlate1d(smooth, WEIGHTS, axis=axis, mode="nearest")
    best = np.argwhere(smooth >= smooth.max() - EQUAL)
    start = np.array([used[axis] for axis in axes])
    nearest = best[np.abs(best - start).sum(axis=1).argmin()]
    place = list(used)
    for axis, at in zip(axes, nearest, strict=True):
        place[axis] = int(at)
    return tuple(place)
