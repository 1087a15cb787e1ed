"""Choosing among candidates by image scores, without looking at the fold that is scored.

Candidates are anything that can be scored image by image: cutoffs, rules, methods. The input is a
table of scores, one row per image and one column per candidate; the result is a column for each
image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.data.folds import spread_groups
from cellflow.errors import ConfigError
from cellflow.metrics.by_type import indices_by_type

FEWEST_IMAGES = 5
"""A cell type with fewer images gets the candidate that is best over all images, since its own best
would be a matter of chance."""

ALL_TYPES = ""
"""Key of the choice for images whose type is unknown or has too few images."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NestedChoice:
    """A choice, and an unbiased estimate of the score that it leads to.

    Parameters
    ----------
    choice : dict of str to int
        Candidate for each cell type, and for `ALL_TYPES`, chosen on all images.
    per_fold : dict of int to dict of str to int
        The same for each fold, chosen on the other folds.
    held_out : (N,) int64
        Candidate of each image, chosen on the other folds.
    scores : (N,) float64
        Score of each image with that candidate; their mean is the nested score.
    same_images_score : float
        Mean score with `choice` on the images that it was chosen on; biased upwards.
    """

    choice: dict[str, int]
    per_fold: dict[int, dict[str, int]]
    held_out: NDArray[np.int64]
    scores: NDArray[np.float64]
    same_images_score: float


def assign_folds(
    cell_types: Sequence[str | None],
    groups: Sequence[str | None],
    n_folds: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Assign N images to folds.

    Parameters
    ----------
    cell_types, groups : sequence of N str or None
        Cell types are spread over the folds; a group (plate + well) stays in one fold.
    n_folds : int
        At least 2. If there are fewer groups, so many folds are used.
    rng : numpy.random.Generator

    Returns
    -------
    (N,) int64
        Fold of each image; all 0 if there is a single group.

    Raises
    ------
    ConfigError
        Fewer than two folds.
    """
    if n_folds < 2:
        raise ConfigError(f"expected two folds or more, found {n_folds}")
    members: dict[object, list[int]] = {}
    for image, group in enumerate(groups):
        members.setdefault(image if group is None else group, []).append(image)
    shuffled = [list(members.values())[k] for k in rng.permutation(len(members))]
    spread = spread_groups(shuffled, cell_types.__getitem__, min(n_folds, len(members)))
    folds = np.zeros(len(groups), np.int64)
    for number, images in enumerate(spread):
        folds[images] = number
    return folds


def choose(scores: NDArray[np.float64], cell_types: Sequence[str | None]) -> dict[str, int]:
    """Give the candidate with the best mean score for each cell type.

    Parameters
    ----------
    scores : (N, C) float64
        Scores of N images with C candidates.
    cell_types : sequence of N str or None

    Returns
    -------
    dict of cell type to int
        For the types with at least `FEWEST_IMAGES` images, and for `ALL_TYPES`. Among equal
        candidates the first.

    Examples
    --------
    >>> choose(np.array([[0.1, 0.2], [0.3, 0.4]]), ["cort", "cort"])
    {'': 1}
    """
    choice = {ALL_TYPES: int(np.argmax(scores.mean(axis=0)))}
    for kind, images in indices_by_type(cell_types).items():
        if len(images) >= FEWEST_IMAGES:
            choice[kind] = int(np.argmax(scores[images].mean(axis=0)))
    return choice


def choose_on_folds(
    scores: NDArray[np.float64], cell_types: Sequence[str | None], folds: NDArray[np.int64]
) -> NestedChoice:
    """Choose a candidate for each cell type, and score the choice by nested cross-validation.

    Parameters
    ----------
    scores : (N, C) float64
    cell_types : sequence of N str or None
    folds : (N,) int64
        From `assign_folds`; at least two.

    Raises
    ------
    ConfigError
        All images are in one fold.
    """
    if len(np.unique(folds)) < 2:
        raise ConfigError("cannot choose on a single fold: none is left for scoring")
    held_out = np.zeros(len(scores), np.int64)
    per_fold = {}
    for fold in np.unique(folds).tolist():
        training, tested = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        per_fold[fold] = choose(scores[training], [cell_types[image] for image in training])
        held_out[tested] = given(per_fold[fold], [cell_types[image] for image in tested])
    choice = choose(scores, cell_types)
    images = np.arange(len(scores))
    return NestedChoice(
        choice=choice,
        per_fold=per_fold,
        held_out=held_out,
        scores=scores[images, held_out],
        same_images_score=float(scores[images, given(choice, cell_types)].mean()),
    )


def given(choice: Mapping[str, int], cell_types: Sequence[str | None]) -> NDArray[np.int64]:
    """Give the candidate of each image: that of its cell type, or else of `ALL_TYPES`."""
    common = choice[ALL_TYPES]
    return np.array([choice.get(kind or ALL_TYPES, common) for kind in cell_types], np.int64)
