"""Curves of validation mAP during training, against steps and time, with a band over the seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cellflow.experiments.plan import RankBy
from cellflow.experiments.ranking import in_order
from cellflow.experiments.results import VariantResult
from cellflow.experiments.store import Row
from cellflow.pictures.curves import LINES, draw_curves

Axis = Literal["steps", "minutes"]
MOST_POINTS = 200

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions (steps or minutes) and mAP, two arrays of equal length."""


def draw_validations(
    path: Path, title: str, results: Sequence[VariantResult], rank_by: RankBy, axis: Axis
) -> tuple[list[str], dict[str, str]]:
    """Draw the validation curves of the variants into one picture.

    Parameters
    ----------
    path : Path
        A PNG.
    title : str
    results : sequence of VariantResult
        The first is always drawn; of the others the best-ranked ones, as many as there are colours.
        Of variants with the same curve, because they share their trainings, only one is drawn.
    rank_by : {"last", "best", "last10", "stability"}
        The rule that they were ranked by.
    axis : {"steps", "minutes"}

    Returns
    -------
    list of str
        The variants that are drawn; if there are none, nothing is written.
    dict of str to str
        The reason why each of the others is not drawn.

    Notes
    -----
    A line is the mean over seeds, a band reaches from the lowest to the highest seed. A seed counts
    once all its folds are finished; its value is the mean over all held-out images, each validated
    by the run that holds it out. If the folds were validated at different positions, curves are
    interpolated, and drawn only over the range that all of them cover.
    """
    n_folds = max(result.n_folds for result in results)
    curves = {result.name: seed_curves(result.rows, n_folds, axis) for result in results}
    order = [0, *(place for place in in_order([r.rank for r in results], rank_by) if place)]
    ranked = {results[place].name: results[place].rows for place in order}
    names, left_out = _choose(ranked, curves, n_folds)
    if not names:
        return names, left_out
    drawn = {name: _band(curves[name]) for name in names}
    draw_curves(
        path,
        title,
        {name: (x.tolist(), middle.tolist()) for name, (x, middle, _, _) in drawn.items()},
        "optimiser steps" if axis == "steps" else "minutes of training",
        "validation mAP",
        bands={
            name: (low.tolist(), high.tolist())
            for name, (_, _, low, high) in drawn.items()
            if len(curves[name]) > 1
        },
        legend="lower right",
        within=(0, 1),
    )
    return names, left_out


def seed_curves(rows: Sequence[Row], n_folds: int, axis: Axis) -> list[Curve]:
    """Give one curve for each seed with all folds, ordered by seed."""
    of_seed: dict[int, list[Row]] = {}
    for row in rows:
        of_seed.setdefault(row.seed, []).append(row)
    whole = [runs for _, runs in sorted(of_seed.items()) if len(runs) == n_folds]
    found = [
        _mean_curve([_places(run, axis) for run in runs], [len(run.images) for run in runs])
        for runs in whole
    ]
    return [curve for curve in found if len(curve[0])]


def _choose(
    ranked: Mapping[str, Sequence[Row]], curves: Mapping[str, Sequence[Curve]], n_folds: int
) -> tuple[list[str], dict[str, str]]:
    """Give the names to draw, each set of curves once, and why the others are left out."""
    first: dict[bytes, str] = {}
    left_out = {}
    for name, rows in ranked.items():
        content = b"".join(array.tobytes() for curve in curves[name] for array in curve)
        if not content:
            left_out[name] = _why_without(rows, n_folds)
        elif content in first:
            left_out[name] = f"the same curve as {first[content]!r}"
        elif len(first) == len(LINES):
            left_out[name] = f"beyond the {len(LINES)} colours, which go to the first and the best"
        else:
            first[content] = name
    return list(first.values()), left_out


def _why_without(rows: Sequence[Row], n_folds: int) -> str:
    """Say why a variant has no curve."""
    if not any(row.curve for row in rows):
        return "no validation on the way"
    seeds = [row.seed for row in rows]
    if max(map(seeds.count, seeds)) < n_folds:
        return "no seed has all folds yet"
    return "nowhere have all folds of a seed been validated"


def _places(row: Row, axis: Axis) -> Curve:
    table = np.array(row.curve, np.float64).reshape(-1, 3)
    return (table[:, 0] if axis == "steps" else table[:, 1] / 60), table[:, 2]


def _mean_curve(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """Average curves over the range that all of them cover."""
    if not all(len(x) for x, _ in curves):
        return np.empty(0), np.empty(0)
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    places = np.unique(np.concatenate([x for x, _ in curves]))
    places = places[(places >= first) & (places <= last)]
    if len(places) > MOST_POINTS:
        places = np.linspace(first, last, MOST_POINTS)
    values = np.array([np.interp(places, x, y) for x, y in curves])
    return places, np.average(values, axis=0, weights=weights)


def _band(curves: Sequence[Curve]) -> tuple[NDArray[np.float64], ...]:
    """Give positions, mean, minimum and maximum over the seeds."""
    places, middle = _mean_curve(curves, [1.0] * len(curves))
    values = np.array([np.interp(places, x, y) for x, y in curves])
    return places, middle, values.min(axis=0), values.max(axis=0)
