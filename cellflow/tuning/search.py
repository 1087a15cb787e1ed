"""The best settings for each cell type by the scores of images, and the defaults where in doubt."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import correlate1d

from cellflow.tuning.choice import ALL_TYPES, FEWEST_IMAGES
from cellflow.tuning.grid import Index

DOUBT = 0.025
"""Chance, by Student's t, that a change that is worth nothing gains as much on images that did not
choose it; a change with a larger one is not made. Several are asked about, so luck is likely."""
SMALLEST_GAIN = 1e-4
"""Below, in mAP, a change is not worth being one."""
MOST_MOVES = 8
WEIGHTS = (0.25, 0.5, 0.25)
"""Of a place and its neighbours along an axis."""
EQUAL = 1e-6
"""Scores that differ by less are equal: the grid is computed in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one choice beat the settings in use.

    Parameters
    ----------
    n_images : int
    n_groups : int
        Independent groups of them.
    gain : float
        Mean over images, each with settings chosen on the other folds.
    error : float
        Its standard error; NaN of a single group.
    """

    n_images: int
    n_groups: int
    gain: float
    error: float

    @property
    def lower_bound(self) -> float:
        """What the gain exceeds but for `DOUBT`; no bound, and so below all, without an error."""
        if np.isnan(self.error):
            return -np.inf
        return float(self.gain - stats.t.ppf(1 - DOUBT, self.n_groups - 1) * self.error)

    @property
    def is_kept(self) -> bool:
        """Whether the gain is beyond doubt."""
        return self.lower_bound > SMALLEST_GAIN

    def followed_by(self, later: "Verdict") -> "Verdict":
        """Give the verdict of two changes, the later judged from where the earlier one led."""
        return Verdict(
            n_images=self.n_images,
            n_groups=self.n_groups,
            gain=self.gain + later.gain,
            error=float(np.hypot(self.error, later.error)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Places on the grid.

    Parameters
    ----------
    places : dict of str to Index
        For the cell types that have settings of their own, and for `ALL_TYPES`: all other images.
    verdicts : dict of str to Verdict
        Of all images together against the defaults, then of each type against what all have.
    """

    places: dict[str, Index]
    verdicts: dict[str, Verdict]

    def of_type(self, cell_type: str | None) -> Index:
        """Give the place for images of a cell type; None = not known."""
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
        Images of one group are one observation.
    folds : (N,) int64
        What decides whether a choice is kept: cross-validation within these images.
    default : Index
        The settings in use.

    Notes
    -----
    A type with fewer than `FEWEST_IMAGES` independent groups of images gets what all have.
    """
    numbers = np.unique(np.array(groups, object).astype(str), return_inverse=True)[1]
    common, verdicts = climb(scores, numbers, folds, default)
    places, told = {ALL_TYPES: common}, {ALL_TYPES: verdicts}
    for kind in sorted({kind for kind in cell_types if kind}):
        own = np.array([i for i, other in enumerate(cell_types) if other == kind])
        if len(np.unique(numbers[own])) >= FEWEST_IMAGES:
            place, told[kind] = climb(scores[own], numbers[own], folds[own], common)
            if place != common:
                places[kind] = place
    return Choice(places=places, verdicts=told)


def climb(
    scores: NDArray[np.float32], groups: NDArray[np.int64], folds: NDArray[np.int64], start: Index
) -> tuple[Index, Verdict]:
    """Change settings as long as a change gains on images that did not choose it.

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
        Of all changes together; where none is taken, of the best that was refused.

    Notes
    -----
    A move looks for the best place along one axis or along two at once: with fewer places there is
    less luck in the choice than along all of them (docs/log.md). The move with the largest lower
    bound is made while that is above `SMALLEST_GAIN`.
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
    """Give the axes of each move: one or two of those that have more than one value.

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
    """Tell what places chosen on other folds gain over the one in use.

    Parameters
    ----------
    scores : (N, grid…) float32
    groups, folds : (N,) int64
        Whole groups are in a fold.
    used : Index
    axes : sequence of int
        Along which a place may be chosen.
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
    """Give the place with the best mean score, each place averaged with its neighbours.

    Parameters
    ----------
    scores : (N, grid…) float32
    used : Index
        The settings in use; the other axes keep theirs.
    axes : sequence of int
        Along which the place may be chosen, ascending.

    Notes
    -----
    The best of many noisy means is a lucky one; a plateau is not. Each place is averaged with its
    neighbours along every such axis (beyond the grid's ends with itself). Of equal ones the one
    with the fewest steps from the settings in use, then the first.
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
