"""The best setting of a grid, chosen for each fold on the other folds, and the resulting score.

The score of the best of many settings, on the images that it was chosen on, is too high, the more
so the more settings there are. So every ``[[variant]]`` with a grid is also scored as one method
that searches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellflow.experiments.plan import Variant
from cellflow.experiments.results import Difference, image_facts, image_scores, mean_score, paired
from cellflow.experiments.store import Row
from cellflow.interval import Interval
from cellflow.tuning.choice import ALL_TYPES, choose_on_folds


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One ``[[variant]]`` of the file, with the settings of its grid chosen on folds.

    Parameters
    ----------
    name : str
    n_candidates : int
        Number of settings to choose from; 1 = no grid.
    score : Interval
        Each image with the setting that the other folds chose.
    same_images_score : float
        All images with the setting that is best on all of them.
    chosen : tuple of str
        Names of the chosen variants, the most frequent one first.
    difference : Difference or None
        To the first search, paired by image; None for the first.
    """

    name: str
    n_candidates: int
    score: Interval
    same_images_score: float
    chosen: tuple[str, ...]
    difference: Difference | None


def searches(rows: Sequence[Row], variants: Sequence[Variant]) -> list[Search]:
    """Give the score of every group of variants if one of the group is chosen on folds.

    Parameters
    ----------
    rows : sequence of Row
        Named as the experiment names its variants.
    variants : sequence of Variant

    Returns
    -------
    list of Search
        Empty if no variant has a grid, if there are fewer than two folds, or while results of a
        grid are missing: choosing among some of its settings would be another search.

    Notes
    -----
    One setting is chosen for all cell types, by the mean over the seeds that are complete for all
    variants: otherwise a setting that only ran with a lucky seed would look better. The models that
    vote were trained on the images of the fold that they choose for; only their scores, on other
    images, enter the choice.
    """
    groups: dict[str, list[str]] = {}
    for variant in variants:
        groups.setdefault(variant.group or variant.name, []).append(variant.name)
    rows = _of_whole_seeds(rows, [variant.name for variant in variants])
    folds = {image: row.fold for row in rows for image in row.images}
    if max(map(len, groups.values())) < 2 or len(set(folds.values())) < 2:
        return []
    found: list[Search] = []
    first: dict[str, float] | None = None
    for name, members in groups.items():
        search, scores = _search(rows, name, members, folds, first)
        first = scores if first is None else first
        found.append(search)
    return found


def _search(
    rows: Sequence[Row],
    name: str,
    members: Sequence[str],
    folds: dict[str, int],
    first: dict[str, float] | None,
) -> tuple[Search, dict[str, float]]:
    images, facts = sorted(folds), image_facts(rows)
    columns = [_scores(rows, member) for member in members]
    table = np.array([[column[image] for column in columns] for image in images])
    of_fold = np.array([folds[image] for image in images], np.int64)
    choice = choose_on_folds(table, [None] * len(images), of_fold)
    chosen = [members[one[ALL_TYPES]] for one in choice.per_fold.values()]
    scores = dict(zip(images, choice.scores.tolist(), strict=True))
    return Search(
        name=name,
        n_candidates=len(members),
        score=mean_score(scores, facts),
        same_images_score=choice.same_images_score,
        chosen=tuple(sorted(set(chosen), key=lambda one: (-chosen.count(one), one))),
        difference=None if first is None else paired(scores, first, facts),
    ), scores


def _of_whole_seeds(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Give the rows of the seeds for which every variant has every fold that occurs."""
    folds = {row.fold for row in rows}
    done: dict[int, dict[str, set[int]]] = {}
    for row in rows:
        done.setdefault(row.seed, {}).setdefault(row.variant, set()).add(row.fold)
    whole = {seed for seed, of in done.items() if all(of.get(name) == folds for name in names)}
    return [row for row in rows if row.seed in whole]


def _scores(rows: Sequence[Row], variant: str) -> dict[str, float]:
    return image_scores([row for row in rows if row.variant == variant])
