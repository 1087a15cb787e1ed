"""The best settings for each cell type by the scores of images, and the defaults where in doubt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from cellflow.tuning.choice import ALL_TYPES, FEWEST_IMAGES
from cellflow.tuning.grid import Index

DOUBT = 1.0
"""Standard errors by which tuned settings must beat those in use on images that they were not
chosen on; below, the ones in use stay."""
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
    gain : float
        Mean over images, each with settings chosen on the other folds.
    error : float
        Its standard error; NaN of a single image.
    """

    n_images: int
    gain: float
    error: float

    @property
    def is_kept(self) -> bool:
        """Whether the gain is beyond doubt; False when the error is not known."""
        return self.gain > DOUBT * self.error


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
    folds: NDArray[np.int64],
    default: Index,
) -> Choice:
    """Choose settings for all images, then for each cell type with enough images.

    Parameters
    ----------
    scores : (N, grid…) float32
        Of N images at every place of the grid.
    cell_types : sequence of N str or None
    folds : (N,) int64
        What decides whether a choice is kept: cross-validation within these images.
    default : Index
        The settings in use.

    Notes
    -----
    A type with fewer than `FEWEST_IMAGES` images gets what all have. A choice replaces what is in
    use only when it beats it by `DOUBT` standard errors, on folds that it was not chosen on.
    """
    everyone = np.arange(len(scores))
    verdicts = {ALL_TYPES: judge(scores, everyone, folds, default)}
    common = best_place(scores, default) if verdicts[ALL_TYPES].is_kept else default
    places = {ALL_TYPES: common}
    for kind in sorted({kind for kind in cell_types if kind}):
        own = np.array([i for i, other in enumerate(cell_types) if other == kind])
        if len(own) < FEWEST_IMAGES:
            continue
        verdicts[kind] = judge(scores, own, folds, common)
        if verdicts[kind].is_kept:
            places[kind] = best_place(scores[own], common)
    return Choice(places=places, verdicts=verdicts)


def judge(
    scores: NDArray[np.float32], images: NDArray[np.int64], folds: NDArray[np.int64], used: Index
) -> Verdict:
    """Tell what settings chosen on other folds gain over those in use, on some of the images."""
    gains = np.zeros(len(images))
    for fold in np.unique(folds[images]):
        is_out = folds[images] == fold
        if is_out.all():
            return Verdict(n_images=len(images), gain=0.0, error=float("nan"))
        place = best_place(scores[images[~is_out]], used)
        gains[is_out] = scores[(images[is_out], *place)] - scores[(images[is_out], *used)]
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("nan")
    return Verdict(n_images=len(images), gain=float(gains.mean()), error=error)


def best_place(scores: NDArray[np.float32], used: Index) -> Index:
    """Give the place with the best mean score, each place averaged with its neighbours.

    Parameters
    ----------
    scores : (N, grid…) float32
    used : Index
        The settings in use.

    Notes
    -----
    The best of many thousand noisy means is a lucky one; a plateau is not. Each place is averaged
    with its neighbours along every axis (beyond the grid's ends with itself). Of equal ones the one
    with the fewest steps from the settings in use, then the first.
    """
    mean = scores.mean(axis=0, dtype=np.float64)
    smooth = mean
    for axis, n_values in enumerate(mean.shape):
        if n_values > 2:
            smooth = correlate1d(smooth, WEIGHTS, axis=axis, mode="nearest")
    best = np.argwhere(smooth >= smooth.max() - EQUAL)
    nearest = best[np.abs(best - np.array(used)).sum(axis=1).argmin()]
    return tuple(int(i) for i in nearest)
