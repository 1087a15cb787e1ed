"""All paired differences between methods, and the ranking of the methods."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cellflow.comparison.agreement import count_found, oracle
from cellflow.comparison.breakdowns import Evidence
from cellflow.comparison.estimates import PairedEstimates
from cellflow.comparison.power import (
    IMAGE_COUNTS,
    flip_chance,
    holm,
    paired_p_value,
    smallest_visible,
)
from cellflow.comparison.result import PairedDifference, Ranking
from cellflow.config import ComparisonConfig
from cellflow.metrics.bootstrap import standard_error
from cellflow.metrics.few_groups import n_groups
from cellflow.metrics.matching import PERCENT

UP_TO_PERCENT = 80
"""A second ranking leaves out the IoU thresholds above this one, since annotations of small cells
are not exact to the pixel."""


def paired_differences(
    names: Sequence[str], evidence: Evidence, settings: ComparisonConfig
) -> tuple[PairedDifference, ...]:
    """Give the difference of every pair of M methods.

    Parameters
    ----------
    names : sequence of M str
    evidence : Evidence
        Of the methods in the same order.
    settings : ComparisonConfig
        Size and split of the hidden test set.
    """
    estimates = evidence.estimate(evidence.precision)
    pairs = [
        _pair(names, row, sides, evidence, estimates, settings)
        for row, sides in enumerate(itertools.combinations(range(len(names)), 2))
    ]
    corrected = holm([pair.p_value for pair in pairs])
    return tuple(replace(pair, p_corrected=p) for pair, p in zip(pairs, corrected, strict=True))


def rank(names: Sequence[str], evidence: Evidence) -> Ranking:
    """Give the methods from best to worst, with and without the highest thresholds."""
    lower = evidence.estimate(evidence.precision[:, PERCENT <= UP_TO_PERCENT])
    return Ranking(
        order=_order(names, [score.mean.estimate for score in evidence.scores]),
        up_to=UP_TO_PERCENT / 100,
        scores_up_to=lower.scores,
        differences_up_to=lower.differences,
        order_up_to=_order(names, [score.estimate for score in lower.scores]),
    )


def _pair(
    names: Sequence[str],
    row: int,
    sides: tuple[int, int],
    evidence: Evidence,
    estimates: PairedEstimates,
    settings: ComparisonConfig,
) -> PairedDifference:
    score, other_score = (evidence.scores[side] for side in sides)
    found, also_found = (evidence.found[side] for side in sides)
    draws = estimates.difference_draws[row]
    error = standard_error(draws, estimates.freedom[row])
    n_images = len(score.names)
    difference = score.image_scores - other_score.image_scores
    p_value, p_is_exact = paired_p_value(difference, score.groups, evidence.seed)
    visible = smallest_visible(
        error,
        n_images,
        [n_images, *IMAGE_COUNTS],
        freedom=estimates.freedom[row],
        n_groups=n_groups(score.groups),
    )
    return PairedDifference(
        first=names[sides[0]],
        second=names[sides[1]],
        difference=estimates.differences[row],
        probability_first_better=float((draws > 0).mean() + (draws == 0).mean() / 2),
        p_value=p_value,
        p_corrected=p_value,
        p_is_exact=p_is_exact,
        smallest_visible=visible[n_images],
        smallest_visible_with={count: visible[count] for count in IMAGE_COUNTS},
        flip_chance=flip_chance(
            float(difference.mean()),
            error,
            n_images,
            n_hidden=settings.hidden_images,
            public_share=settings.public_share,
        ),
        found_by=count_found(found, also_found, score.cell_types),
        oracle=oracle(score, other_score, found, also_found),
    )


def _order(names: Sequence[str], scores: Sequence[float]) -> tuple[str, ...]:
    return tuple(names[i] for i in np.argsort(-np.array(scores), kind="stable"))
