"""Validation mAP on the way, against steps and against time, with the band of the seeds."""

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
"""Places and mAP, equally long."""


def draw_validations(
    path: Path, title: str, results: Sequence[VariantResult], rank_by: RankBy, axis: Axis
) -> list[str]:
    """Write one picture of the variants' validations.

    Parameters
    ----------
    path : Path
        A PNG.
    title : str
    results : sequence of VariantResult
        The first is drawn in any case; of the others those that rank best, as many as there are
        colours. Of variants that share their trainings one is drawn.
    rank_by : {"last", "best", "last10", "stability"}
        What they were ranked by.
    axis : {"steps", "minutes"}

    Returns
    -------
    list of str
        The variants that are drawn; without any nothing is written.

    Notes
    -----
    A line is the mean over seeds, a band goes from the lowest to the highest of them. A seed counts
    when all its folds are there; its value is the mean over all held-out images, each validated by
    the run that holds it out. Where the folds' validations stand at different places, they are
    interpolated, and only places that all have reached are drawn.
    """
    n_folds = max(result.n_folds for result in results)
    curves = {result.name: seed_curves(result.rows, n_folds, axis) for result in results}
    order = [0, *(place for place in in_order([r.rank for r in results], rank_by) if place)]
    names = _different([results[place].name for place in order], curves)[: len(LINES)]
    if not names:
        return []
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
    )
    return names


def seed_curves(rows: Sequence[Row], n_folds: int, axis: Axis) -> list[Curve]:
    """Give one curve for each seed that has all its folds, in the order of seeds."""
    of_seed: dict[int, list[Row]] = {}
    for row in rows:
        of_seed.setdefault(row.seed, []).append(row)
    whole = [runs for _, runs in sorted(of_seed.items()) if len(runs) == n_folds]
    weighed = [([_places(run, axis) for run in runs], _sizes(runs)) for runs in whole]
    found = [_mean_curve(curves, sizes) for curves, sizes in weighed]
    return [curve for curve in found if len(curve[0])]


def _different(names: Sequence[str], curves: Mapping[str, Sequence[Curve]]) -> list[str]:
    """Give the names that have curves, each set of curves once."""
    first: dict[bytes, str] = {}
    for name in names:
        content = b"".join(array.tobytes() for curve in curves[name] for array in curve)
        if content:
            first.setdefault(content, name)
    return list(first.values())


def _places(row: Row, axis: Axis) -> Curve:
    table = np.array(row.curve, np.float64).reshape(-1, 3)
    return (table[:, 0] if axis == "steps" else table[:, 1] / 60), table[:, 2]


def _sizes(rows: Sequence[Row]) -> list[int]:
    return [len(row.images) for row in rows]


def _mean_curve(curves: Sequence[Curve], weights: Sequence[float]) -> Curve:
    """Average curves at the places that all of them cover."""
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
    """Give places, mean, lowest and highest of the seeds."""
    places, middle = _mean_curve(curves, [1.0] * len(curves))
    values = np.array([np.interp(places, x, y) for x, y in curves])
    return places, middle, values.min(axis=0), values.max(axis=0)
