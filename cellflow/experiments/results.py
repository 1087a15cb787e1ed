"""From rows of the store to one result per variant, with its difference to the first one."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cellflow.comparison.estimates import paired_estimates
from cellflow.comparison.power import paired_p_value
from cellflow.config import TrainingConfig
from cellflow.errors import DataError
from cellflow.experiments.flow_families import begins_trained
from cellflow.experiments.plan import RankBy
from cellflow.experiments.ranking import rank_value
from cellflow.experiments.store import Row
from cellflow.interval import Interval
from cellflow.metrics.bootstrap import mean_interval, standard_error
from cellflow.metrics.few_groups import n_groups
from cellflow.training.schedule import choose_rate

Facts = Mapping[str, Mapping[str, Any]]
"""What is known of each image, by name, see `Row.images`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of two variants, paired by image.

    Parameters
    ----------
    interval : Interval
    standard_error : float
        NaN with a single independent group of images.
    freedom : float
        Degrees of freedom of the standard error.
    n_groups : int
        Number of independent groups of images.
    p_value : float
        By sign flips, for this pair alone.
    n_images : int
        Number of images that both have.
    """

    interval: Interval
    standard_error: float
    freedom: float
    n_groups: int
    p_value: float
    n_images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """One variant over all its folds and seeds.

    Parameters
    ----------
    name : str
    n_images, n_folds, n_seeds : int
        Images count once, however many seeds predicted them.
    score : Interval
        Out-of-fold mAP: each image's mean over seeds, averaged over the images.
    per_seed : tuple of float
        The same for each seed alone.
    per_cell_type : dict of str to Interval
    difference : Difference or None
        To the first variant, over the images that both have; None for the first.
    rank : float
        The value that ``rank_by`` orders by; NaN if the runs do not have it, or while images are
        missing, since the easy ones may have come first.
    rows : tuple of Row
        The rows that it is computed from.
    minutes, predict_seconds, peak_megabytes : float
        Over the runs that did not diverge: mean time of a training, mean time per held-out image,
        s, and the largest peak memory, MiB.
    flows_kept : bool
        Whether several variants read the same stored network output, so that `predict_seconds` is
        not the full cost of prediction.
    n_steps, n_parameters : int
    learning_rate : str
    """

    name: str
    n_images: int
    n_folds: int
    n_seeds: int
    score: Interval
    per_seed: tuple[float, ...]
    per_cell_type: dict[str, Interval]
    difference: Difference | None
    rank: float
    rows: tuple[Row, ...]
    minutes: float
    predict_seconds: float
    peak_megabytes: float
    flows_kept: bool
    n_steps: int
    n_parameters: int
    learning_rate: str


def summarize(rows: Sequence[Row], variants: Sequence[str], rank_by: RankBy) -> list[VariantResult]:
    """Give one result per variant, in the order of `variants`.

    Parameters
    ----------
    rows : sequence of Row
        With `Row.variant` as the experiment names it.
    variants : sequence of str
        The first is the reference for the others; those without rows are left out.
    rank_by : {"last", "best", "last10", "stability"}

    Raises
    ------
    DataError
        The first variant has no result yet.
    """
    of = {name: [row for row in rows if row.variant == name] for name in variants}
    if not of[variants[0]]:
        raise DataError(f"no result of {variants[0]!r} yet, with which the others are compared")
    first = image_scores(of[variants[0]])
    results = [
        _summarize(name, of[name], None if name == variants[0] else first, rank_by)
        for name in variants
        if of[name]
    ]
    most = max(result.n_images for result in results)
    return [r if r.n_images == most else replace(r, rank=math.nan) for r in results]


def image_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Give each image's mean score over the seeds that predicted it, in alphabetical order."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, image in row.images.items():
            values.setdefault(name, []).append(image["score"])
    return {name: float(np.mean(values[name])) for name in sorted(values)}


def image_facts(rows: Sequence[Row]) -> Facts:
    """Give the facts of each image; cell type and group are the same in all rows."""
    return {image: values for row in rows for image, values in row.images.items()}


def strata_and_clusters(
    images: Iterable[str], facts: Facts
) -> tuple[list[str | None], list[str | None]]:
    """Give the cell types and the groups of images, as the bootstrap takes them."""
    known = [facts[image] for image in images]
    return [one["cell_type"] for one in known], [one["group"] for one in known]


def mean_score(scores: Mapping[str, float], facts: Facts) -> Interval:
    """Give the mean of images' scores with its interval."""
    strata, clusters = strata_and_clusters(scores, facts)
    return mean_interval(
        np.array(list(scores.values())),
        rng=np.random.default_rng(0),
        strata=strata,
        clusters=clusters,
        within=(0, 1),
    )


def ended(rows: Sequence[Row]) -> Sequence[Row]:
    """Give the rows whose trainings did not diverge; all rows if every one did."""
    return [row for row in rows if not row.facts.get("diverged")] or rows


def paired(
    ours: Mapping[str, float], theirs: Mapping[str, float], facts: Facts
) -> Difference | None:
    """Give the mean of ``ours - theirs`` over the images that both have.

    Parameters
    ----------
    ours, theirs : mapping of image to score
    facts : mapping
        From `image_facts`.

    Returns
    -------
    Difference or None
        None if they have no image in common.
    """
    names = [name for name in ours if name in theirs]
    if not names:
        return None
    kinds, groups = strata_and_clusters(names, facts)
    scores = np.array([[side[name] for name in names] for side in (ours, theirs)])
    found = paired_estimates(
        scores[:, None],
        np.ones((1, 1, len(names))),
        rng=np.random.default_rng(0),
        strata=kinds,
        clusters=groups,
    )
    return Difference(
        interval=found.differences[0],
        standard_error=standard_error(found.difference_draws[0], found.freedom[0]),
        freedom=found.freedom[0],
        n_groups=n_groups(groups),
        p_value=paired_p_value(scores[0] - scores[1], groups, seed=0)[0],
        n_images=len(names),
    )


def _summarize(
    name: str,
    rows: Sequence[Row],
    first: dict[str, float] | None,
    rank_by: RankBy,
) -> VariantResult:
    scores, facts = image_scores(rows), image_facts(rows)
    score, kinds = mean_score(scores, facts), {one["cell_type"] for one in facts.values()}
    whole, peaks = ended(rows), [row.facts["peak_megabytes"] for row in rows]
    return VariantResult(
        name=name,
        n_images=len(scores),
        n_folds=len({row.fold for row in rows}),
        n_seeds=len({row.seed for row in rows}),
        score=score,
        per_seed=tuple(_mean_of_seed(rows, each) for each in sorted({row.seed for row in rows})),
        per_cell_type={
            kind: mean_score(
                {name: one for name, one in scores.items() if facts[name]["cell_type"] == kind},
                facts,
            )
            for kind in sorted(kinds - {None})
        },
        difference=None if first is None else paired(scores, first, facts),
        rank=score.estimate if rank_by == "last" else rank_value(rows, rank_by),
        rows=tuple(rows),
        minutes=float(np.mean([row.facts["seconds"] for row in whole])) / 60,
        predict_seconds=_seconds_an_image(whole),
        peak_megabytes=max(filter(None, peaks), default=math.nan),
        flows_kept=any(row.facts.get("flows_kept") for row in rows),
        n_steps=whole[0].facts["n_steps"],
        n_parameters=whole[0].facts["n_parameters"],
        learning_rate=_learning_rate(whole[0]),
    )


def _mean_of_seed(rows: Sequence[Row], seed: int) -> float:
    return float(np.mean(list(image_scores([row for row in rows if row.seed == seed]).values())))


def _seconds_an_image(rows: Sequence[Row]) -> float:
    n_images = sum(len(row.images) for row in rows)
    return float(sum(row.facts["predict_seconds"] for row in rows)) / n_images


def _learning_rate(row: Row) -> str:
    told = row.facts["conditions"].get("learning rate")
    if told:  # not by a training that diverged
        return str(told)
    config = row.settings["config"]
    training = config.get("settings.training", config["training"])  # the first is a baseline's
    asked = TrainingConfig(learning_rate=training["learning_rate"])
    is_trained = begins_trained(row.settings["family"], row.settings["options"])
    return f"{choose_rate(asked, is_trained=is_trained):g}"
