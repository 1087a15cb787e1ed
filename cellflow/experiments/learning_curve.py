"""Score against the number of annotated images, and the gain of ten more.

Variants that differ only in their number of training images make one curve. The score is fitted as
a − b / √n, the usual form of a learning curve, and for comparison as a + b ln n. Both fits are
linear in the scores, so the gain of ten more images is a weighted mean over held-out images, and
its interval is computed like that of any other mean.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellflow.configfile import config_to_dict
from cellflow.experiments.plan import Variant
from cellflow.experiments.results import (
    image_facts,
    image_scores,
    mean_score,
    strata_and_clusters,
)
from cellflow.experiments.store import Row
from cellflow.experiments.subset import SUBSET_OPTIONS
from cellflow.interval import Interval
from cellflow.metrics.bootstrap import mean_interval
from cellflow.pictures.curves import draw_curves

N_MORE = 10
"""Number of additional images whose gain is estimated."""

FEWEST_SIZES = 3
"""Fewest numbers of images for a statement: any form fits two of them."""

FURTHEST = 0.5
"""Share of the largest size; adding more images than that is called a far extrapolation."""

Basis = Callable[[NDArray[np.float64]], NDArray[np.float64]]

FORMS: dict[str, Basis] = {"a − b / √n": lambda n: -1 / np.sqrt(n), "a + b ln n": np.log}
"""The function of n that b is multiplied by."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearningCurve:
    """The scores of trainings that differ only in their number of images.

    Parameters
    ----------
    name : str
        Of the variant with the most images.
    sizes : (K,) float64
        Mean number of training images, ascending.
    scores : tuple of K Interval
    images : (K, N) float64
        Score of each held-out image at each size, mean over the seeds.
    per_seed : (S, K) float64
        For every seed with all sizes, the mean score at each size, over the images that the seed
        has at all sizes.
    strata, clusters : sequence of N
    chosen_by_seed : bool
        Whether seeds differ in their training images.
    """

    name: str
    sizes: NDArray[np.float64]
    scores: tuple[Interval, ...]
    images: NDArray[np.float64]
    per_seed: NDArray[np.float64]
    strata: Sequence[str | None]
    clusters: Sequence[str | None]
    chosen_by_seed: bool

    def gain(self, form: str) -> Interval:
        """Give the gain of `N_MORE` images beyond the largest size, by a form of `FORMS`."""
        return self._mean(self._gain_weights(form))

    def gain_by_seed(self, form: str) -> list[float]:
        """Give the same gain for every seed alone."""
        gains: list[float] = (self.per_seed @ self._gain_weights(form)).tolist()
        return gains

    def misfit(self, form: str) -> list[Interval]:
        """Give the difference between the score at each size and the fitted score."""
        design = _design(form, self.sizes)
        return [self._mean(row) for row in np.eye(len(design)) - design @ np.linalg.pinv(design)]

    def fitted(self, form: str, sizes: NDArray[np.float64]) -> list[Interval]:
        """Give the fitted score at any sizes."""
        weights = _design(form, sizes) @ np.linalg.pinv(_design(form, self.sizes))
        return [self._mean(row) for row in weights]

    def _gain_weights(self, form: str) -> NDArray[np.float64]:
        basis, last = FORMS[form], self.sizes[-1]
        slope: NDArray[np.float64] = np.linalg.pinv(_design(form, self.sizes))[1]
        return slope * float(basis(last + N_MORE) - basis(last))

    def _mean(self, weights: NDArray[np.float64]) -> Interval:
        return mean_interval(
            weights @ self.images,
            rng=np.random.default_rng(0),
            strata=self.strata,
            clusters=self.clusters,
        )


def learning_curves(rows: Sequence[Row], variants: Sequence[Variant]) -> list[LearningCurve]:
    """Give the learning curves of an experiment: variants with at least two numbers of images.

    Notes
    -----
    Held-out images that are missing at some size are left out.
    """
    groups: dict[str, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(_all_but_the_number(variant), []).append(variant)
    found = [_curve(rows, members) for members in groups.values() if len(members) > 1]
    return [curve for curve in found if curve is not None]


def describe_curve(curve: LearningCurve) -> list[str]:
    """Describe the score at each size and the gain of ten more images, or why it is unknown."""
    points = ", ".join(
        f"{size:.4g}: {score}" for size, score in zip(curve.sizes, curve.scores, strict=True)
    )
    lines = [f"{curve.name!r}, images to train on and mAP: {points}."]
    if (n_sizes := len(np.unique(curve.sizes))) < FEWEST_SIZES:
        return [
            *lines,
            f"What {N_MORE} more would bring cannot be said: {n_sizes} numbers of images, "
            f"{FEWEST_SIZES} or more are needed.",
        ]
    if math.isnan(curve.scores[-1].low):
        return [*lines, f"What {N_MORE} more would bring cannot be said from a single group."]
    gains = {form: curve.gain(form) for form in FORMS}
    told = "; ".join(f"{form} says {gain.signed(4)}" for form, gain in gains.items())
    last = curve.sizes[-1]
    lines.append(f"{N_MORE} more images than {last:.4g}: {told}, 95 % intervals.")
    return [*lines, *_doubts(curve, gains)]


def draw_learning_curve(path: Path, curve: LearningCurve) -> None:
    """Write a PNG of the scores with their intervals, and of the fit up to ten more images."""
    sizes = curve.sizes.tolist()
    series = {"measured": (sizes, [score.estimate for score in curve.scores])}
    bands = {"measured": ([s.low for s in curve.scores], [s.high for s in curve.scores])}
    if len(set(sizes)) >= FEWEST_SIZES:
        form = next(iter(FORMS))
        further = np.linspace(sizes[0], sizes[-1] + N_MORE, 80)
        fitted = curve.fitted(form, further)
        series["fitted"] = (further.tolist(), [one.estimate for one in fitted])
    draw_curves(
        path, f"{curve.name}: learning curve", series, "annotated images to train on", "mAP",
        bands=bands, legend="lower right", within=(0, 1),
    )  # fmt: skip


def _doubts(curve: LearningCurve, gains: Mapping[str, Interval]) -> list[str]:
    lines = []
    form, gain = next(iter(gains.items()))
    if gain.low <= 0 <= gain.high:
        lines.append(
            f"So whether {N_MORE} more help cannot be said: the interval holds 0, the curve does "
            "not rise visibly on these held-out images."
        )
    if any(not one.low <= 0 <= one.high for one in curve.misfit(form)):
        lines.append(f"The scores do not follow {form}, so the extrapolation is not to be trusted.")
    if FURTHEST * curve.sizes[-1] < N_MORE:
        share = N_MORE / curve.sizes[-1]
        lines.append(f"{N_MORE} more are {share:.0%} of what there is: a far extrapolation.")
    lines.append(
        "The intervals hold the choice of held-out images, not that of the images to train on, nor "
        f"the seed. {_by_seed(curve, form)}"
    )
    return lines


def _by_seed(curve: LearningCurve, form: str) -> str:
    """Give the gain of each seed, for the variation that the intervals do not include."""
    gains = ", ".join(f"{gain:+.4f}" for gain in curve.gain_by_seed(form))
    if len(curve.per_seed) < 2:
        return "More seeds would show how far it goes."
    images = "its own images" if curve.chosen_by_seed else "the same images"
    return f"By seed, each with {images} to train on: {gains}."


def _design(form: str, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.ones(len(sizes)), FORMS[form](sizes)], axis=1)


def _all_but_the_number(variant: Variant) -> str:
    options = {key: v for key, v in variant.options.items() if key not in SUBSET_OPTIONS}
    content = [variant.family, options, config_to_dict(variant.config), dict(variant.predict)]
    return json.dumps(content, sort_keys=True)


def _curve(rows: Sequence[Row], members: Sequence[Variant]) -> LearningCurve | None:
    of = {v.name: [row for row in rows if row.variant == v.name] for v in members}
    sizes = {
        name: float(np.mean([row.facts["n_train"] for row in found]))
        for name, found in of.items()
        if found
    }
    names = sorted(sizes, key=sizes.__getitem__)
    if len(set(sizes.values())) < 2:
        return None
    scores = {name: image_scores(of[name]) for name in names}
    common = sorted(set.intersection(*(set(images) for images in scores.values())))
    if not common:
        return None
    facts = image_facts([row for name in names for row in of[name]])
    seeds = sorted({row.seed for rows in of.values() for row in rows})
    by_seed = [_means_of_seed([of[name] for name in names], seed) for seed in seeds]
    table = np.array([[scores[name][image] for image in common] for name in names])
    strata, clusters = strata_and_clusters(common, facts)
    return LearningCurve(
        name=names[-1],
        sizes=np.array([sizes[name] for name in names]),
        scores=tuple(
            mean_score({image: scores[name][image] for image in common}, facts) for name in names
        ),
        images=table,
        per_seed=np.array([means for means in by_seed if means]).reshape(-1, len(names)),
        strata=strata,
        clusters=clusters,
        chosen_by_seed=all(
            v.options.get("subset_seed") == "seed"
            for v in members
            if {"n_images", "image_share"} & set(v.options)
        ),
    )


def _means_of_seed(of_sizes: Sequence[Sequence[Row]], seed: int) -> list[float]:
    """Give a seed's mean score at each size over the same images; [] if there are none."""
    scores = [image_scores([row for row in each if row.seed == seed]) for each in of_sizes]
    common = set.intersection(*(set(images) for images in scores))
    return [float(np.mean([images[name] for name in common])) for images in scores if common]
