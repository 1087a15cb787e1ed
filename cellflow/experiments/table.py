"""Rows of the store to one table: every variant's score, and its paired difference to the first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import DataError
from cellflow.experiments.plan import RankBy
from cellflow.experiments.store import Row
from cellflow.metrics.bootstrap import mean_interval, paired_difference
from cellflow.records import Interval

N_LAST = 10
"""Validations that ``last10`` takes the mean of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """One variant over all its folds and seeds.

    Parameters
    ----------
    name : str
    n_images, n_folds, n_seeds : int
        Images count once, however many seeds predicted them.
    score : Interval
        Out-of-fold mAP: the mean over the images of their mean over seeds.
    per_seed : tuple of float
        The same of each seed alone.
    per_cell_type : dict of str to Interval
    difference : Interval or None
        To the first variant, paired by image, over the images that both have; None for the first.
    rank : float
        What ``rank_by`` orders by; NaN where the runs have no validations.
    minutes, predict_seconds, peak_megabytes : float
        Means over the runs: of a training, of a held-out image, the largest peak.
    n_steps, n_parameters : int
    device : str
    """

    name: str
    n_images: int
    n_folds: int
    n_seeds: int
    score: Interval
    per_seed: tuple[float, ...]
    per_cell_type: dict[str, Interval]
    difference: Interval | None
    rank: float
    minutes: float
    predict_seconds: float
    peak_megabytes: float
    n_steps: int
    n_parameters: int
    device: str


def summarize(
    rows: Sequence[Row], variants: Sequence[str], rank_by: RankBy, seed: int = 0
) -> list[VariantResult]:
    """Give one result a variant, in the order of `variants`.

    Parameters
    ----------
    rows : sequence of Row
        With `Row.variant` named as the experiment names it.
    variants : sequence of str
        The first is what the others are compared with; those without rows are left out.
    rank_by : {"last", "best", "last10"}
    seed : int
        Of the bootstrap.

    Raises
    ------
    DataError
        The first variant has no result yet.
    """
    of = {name: [row for row in rows if row.variant == name] for name in variants}
    if not of[variants[0]]:
        raise DataError(f"no result of {variants[0]!r} yet, with which the others are compared")
    first = _image_scores(of[variants[0]])
    return [
        _summarize(name, of[name], None if name == variants[0] else first, rank_by, seed)
        for name in variants
        if of[name]
    ]


def experiment_table(results: Sequence[VariantResult], rank_by: RankBy) -> str:
    """Give the results as a Markdown table, best first, with what must be known of it."""
    kinds = list(results[0].per_cell_type)
    header = ["variant", "mAP", "95 % interval", *kinds, "difference", "95 % interval"]
    header += ["images", "seeds", "steps", "min", "s / image", "MiB"]
    if rank_by != "last":
        header.append(rank_by)
    lines = [_row(header), _row(["---"] * len(header))]
    order = sorted(results, key=lambda r: -math.inf if math.isnan(r.rank) else -r.rank)
    lines += [_row(_cells(result, kinds, rank_by)) for result in order]
    return "\n".join([*lines, "", *_remarks(results, rank_by)])


def _summarize(
    name: str,
    rows: Sequence[Row],
    first: dict[str, float] | None,
    rank_by: RankBy,
    seed: int,
) -> VariantResult:
    scores = _image_scores(rows)
    names = list(scores)
    facts = {image: values for row in rows for image, values in row.images.items()}
    kinds = [facts[image]["cell_type"] for image in names]
    groups = [facts[image]["group"] for image in names]
    values = np.array(list(scores.values()))

    def interval(chosen: Sequence[int]) -> Interval:
        return mean_interval(
            values[list(chosen)],
            rng=np.random.default_rng(seed),
            strata=[kinds[i] for i in chosen],
            clusters=[groups[i] for i in chosen],
        )

    return VariantResult(
        name=name,
        n_images=len(names),
        n_folds=len({row.fold for row in rows}),
        n_seeds=len({row.seed for row in rows}),
        score=interval(range(len(names))),
        per_seed=tuple(_mean_of_seed(rows, each) for each in sorted({row.seed for row in rows})),
        per_cell_type={
            kind: interval([i for i, other in enumerate(kinds) if other == kind])
            for kind in sorted({kind for kind in kinds if kind is not None})
        },
        difference=None if first is None else _difference(scores, first, kinds, groups, seed),
        rank=_rank(rows, float(values.mean()), rank_by),
        minutes=float(np.mean([row.facts["seconds"] for row in rows])) / 60,
        predict_seconds=_seconds_an_image(rows),
        peak_megabytes=max(row.facts["peak_megabytes"] or math.nan for row in rows),
        n_steps=rows[0].facts["n_steps"],
        n_parameters=rows[0].facts["n_parameters"],
        device=rows[0].facts["device"],
    )


def _image_scores(rows: Sequence[Row]) -> dict[str, float]:
    """Give each image's mean over the seeds that predicted it."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, image in row.images.items():
            values.setdefault(name, []).append(image["score"])
    return {name: float(np.mean(values[name])) for name in sorted(values)}


def _mean_of_seed(rows: Sequence[Row], seed: int) -> float:
    return float(np.mean(list(_image_scores([row for row in rows if row.seed == seed]).values())))


def _difference(
    scores: dict[str, float],
    first: dict[str, float],
    kinds: Sequence[str | None],
    groups: Sequence[str | None],
    seed: int,
) -> Interval | None:
    common = [i for i, name in enumerate(scores) if name in first]
    if not common:
        return None
    names = list(scores)
    ours: NDArray[np.float64] = np.array([scores[names[i]] for i in common])
    theirs: NDArray[np.float64] = np.array([first[names[i]] for i in common])
    return paired_difference(
        ours,
        theirs,
        rng=np.random.default_rng(seed),
        strata=[kinds[i] for i in common],
        clusters=[groups[i] for i in common],
    )


def _rank(rows: Sequence[Row], out_of_fold: float, rank_by: RankBy) -> float:
    if rank_by == "last":
        return out_of_fold
    curves = [[score for _, _, score in row.curve] for row in rows]
    if not all(curves):
        return math.nan
    if rank_by == "best":
        return float(np.mean([max(curve) for curve in curves]))
    return float(np.mean([np.mean(curve[-N_LAST:]) for curve in curves]))


def _seconds_an_image(rows: Sequence[Row]) -> float:
    n_images = sum(len(row.images) for row in rows)
    return float(sum(row.facts["predict_seconds"] for row in rows)) / n_images


def _cells(result: VariantResult, kinds: Sequence[str], rank_by: RankBy) -> list[str]:
    difference = result.difference
    cells = [
        result.name,
        f"{result.score.estimate:.3f}",
        _bounds(result.score, ".3f"),
        *(
            f"{result.per_cell_type[kind].estimate:.3f}" if kind in result.per_cell_type else ""
            for kind in kinds
        ),
        "" if difference is None else f"{difference.estimate:+.3f}",
        "" if difference is None else _bounds(difference, "+.3f"),
        str(result.n_images),
        str(result.n_seeds),
        str(result.n_steps),
        f"{result.minutes:.1f}",
        f"{result.predict_seconds:.1f}",
        "" if math.isnan(result.peak_megabytes) else f"{result.peak_megabytes:.0f}",
    ]
    if rank_by != "last":
        cells.append("" if math.isnan(result.rank) else f"{result.rank:.3f}")
    return cells


def _remarks(results: Sequence[VariantResult], rank_by: RankBy) -> list[str]:
    first = results[0]
    lines = [
        f"Out-of-fold mAP; each image is predicted by a model that never saw it. Differences are "
        f"to {first.name!r}, paired by image. {first.device}, {first.n_parameters / 1e6:.1f} "
        "million parameters."
    ]
    if rank_by != "last":
        lines.append(
            f"Ordered by {rank_by!r}, which looks at the held-out images on the way, so that "
            "column is too high; mAP is of the final weights."
        )
    several = [result for result in results if result.n_seeds > 1]
    lines += [
        f"Seeds of {r.name!r}: {', '.join(f'{value:.3f}' for value in r.per_seed)}."
        for r in several
    ]
    if not several:
        lines.append("One seed: the intervals hold the choice of images, not that of the seed.")
    partial = [r for r in results if r.n_images < max(other.n_images for other in results)]
    lines += [f"{r.name!r} is not done: {r.n_images} images of {r.n_folds} folds." for r in partial]
    return lines


def _bounds(interval: Interval, style: str) -> str:
    if math.isnan(interval.low):
        return "none"
    return f"{interval.low:{style}} to {interval.high:{style}}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
