"""Which of several methods is better, and how sure we are: paired by image."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.agreement import count_found, oracle
from cellflow.comparison.breakdowns import Evidence, all_breakdowns
from cellflow.comparison.count_limits import count_limit_remarks
from cellflow.comparison.coverage import compared_images
from cellflow.comparison.estimates import PairedEstimates
from cellflow.comparison.importers import MethodOutput, read_outputs
from cellflow.comparison.power import (
    IMAGE_COUNTS,
    flip_chance,
    sign_flip_p_value,
    smallest_visible,
)
from cellflow.comparison.result import Comparison, Method, PairedDifference, Ranking
from cellflow.comparison.truth import Truth, read_truth
from cellflow.errors import ConfigError, SubmissionError
from cellflow.metrics.average_precision import Variant
from cellflow.metrics.bootstrap import N_DRAWS, standard_error
from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.matching import PERCENT
from cellflow.metrics.score import Score, score_images
from cellflow.records import CellMasks

UP_TO_PERCENT = 80
"""The ranking is given again without the IoU thresholds above, since annotations of small cells are
not exact to the pixel."""


def compare(
    submissions: Sequence[Path | str],
    truth: Path | str,
    *,
    variant: Variant = "competition",
    common_only: bool = False,
    all_truth: bool = False,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare what several methods found in the same images.

    Parameters
    ----------
    submissions : sequence of path
        Two or more submission files.
    truth : path
        The competition's ``train.csv``, a COCO ``.json``, or a folder of annotated images.
    variant : str
        As for `average_precision`, but for ``pooled``, which gives an image no score of its own.
    common_only : bool
        Compare on the images that all have, instead of refusing when they differ.
    all_truth : bool
        Count truth images that no submission has as images without prediction, instead of
        leaving them out.
    n_draws, seed : int
        Of the bootstrap and the permutation test.

    Raises
    ------
    ConfigError
        The variant cannot be paired by image, or the two options on images contradict.
    DataError, LabelError, RleError
        `truth` cannot be read.
    SubmissionError
        Fewer than two submissions, one breaks a rule of the competition, or they cover different
        images.
    """
    true_images = read_truth(truth)
    return compare_outputs(
        read_outputs(submissions, true_images),
        true_images,
        variant=variant,
        common_only=common_only,
        all_truth=all_truth,
        n_draws=n_draws,
        seed=seed,
    )


def compare_outputs(
    outputs: Sequence[MethodOutput],
    truth: Truth,
    *,
    variant: Variant = "competition",
    common_only: bool = False,
    all_truth: bool = False,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare what is already in memory; everything else is as for `compare`."""
    if len(outputs) < 2:
        raise SubmissionError("a comparison needs two submissions or more")
    if variant == "pooled":
        raise ConfigError("variant pooled has no scores of single images to pair; take another")
    images, remarks = compared_images(
        list(truth),
        {output.name: output.detections.keys() for output in outputs},
        common_only=common_only,
        all_truth=all_truth,
    )
    truth = {name: truth[name] for name in images}
    for output in outputs:
        remarks += output.remarks
        remarks += count_limit_remarks(
            output.name,
            {name: len(one.masks) for name, one in output.detections.items() if name in truth},
            {name: image.cell_type for name, image in truth.items()},
        )
    predicted = [
        {name: one.masks for name, one in output.detections.items() if name in truth}
        for output in outputs
    ]
    methods = [
        Method(
            name=output.name,
            kind=output.kind,
            n_detections=sum(len(masks) for masks in cells.values()),
            has_scores=output.has_scores,
        )
        for output, cells in zip(outputs, predicted, strict=True)
    ]
    scores = [_score(truth, cells, variant, n_draws, seed) for cells in predicted]
    found = tuple(
        tuple(
            find_cells(image.masks, cells.get(name, CellMasks.empty(image.masks.shape)))
            for name, image in truth.items()
        )
        for cells in predicted
    )
    evidence = Evidence(scores=tuple(scores), found=found, n_draws=n_draws, seed=seed)
    return Comparison(
        methods=tuple(methods),
        scores=tuple(scores),
        pairs=_pairs([method.name for method in methods], evidence),
        breakdowns=all_breakdowns(evidence),
        ranking=_ranking([method.name for method in methods], evidence),
        remarks=tuple(remarks),
        truths={name: image.masks for name, image in truth.items()},
        predicted=tuple(predicted),
    )


def _score(
    truth: Truth, predicted: Mapping[str, CellMasks], variant: Variant, n_draws: int, seed: int
) -> Score:
    return score_images(
        {name: image.masks for name, image in truth.items()},
        predicted,
        cell_types={name: image.cell_type for name, image in truth.items()},
        groups={name: image.group for name, image in truth.items()},
        variant=variant,
        n_draws=n_draws,
        rng=np.random.default_rng(seed),
    )


def _pairs(names: Sequence[str], evidence: Evidence) -> tuple[PairedDifference, ...]:
    estimates = evidence.estimate(evidence.precision)
    return tuple(
        _pair(names, row, sides, evidence, estimates)
        for row, sides in enumerate(itertools.combinations(range(len(names)), 2))
    )


def _pair(
    names: Sequence[str],
    row: int,
    sides: tuple[int, int],
    evidence: Evidence,
    estimates: PairedEstimates,
) -> PairedDifference:
    (first, second), (score, other_score) = sides, (evidence.scores[side] for side in sides)
    found, also_found = (evidence.found[side] for side in sides)
    draws = estimates.difference_draws[row]
    error = standard_error(draws, estimates.freedom[row])
    n_images = len(score.names)
    difference = score.image_scores - other_score.image_scores
    p_value, p_is_exact = sign_flip_p_value(
        _by_cluster(difference, score.groups), np.random.default_rng(evidence.seed)
    )
    return PairedDifference(
        first=names[first],
        second=names[second],
        difference=estimates.differences[row],
        probability_first_better=float((draws > 0).mean() + (draws == 0).mean() / 2),
        p_value=p_value,
        p_is_exact=p_is_exact,
        smallest_visible=smallest_visible(error, n_images, [n_images])[n_images],
        smallest_visible_with=smallest_visible(error, n_images, IMAGE_COUNTS),
        flip_chance=flip_chance(float(difference.mean()), error, n_images),
        found_by=count_found(found, also_found, score.cell_types),
        oracle=oracle(score, other_score, found, also_found),
    )


def _ranking(names: Sequence[str], evidence: Evidence) -> Ranking:
    lower = evidence.estimate(evidence.precision[:, PERCENT <= UP_TO_PERCENT])
    return Ranking(
        order=_order(names, [score.mean.estimate for score in evidence.scores]),
        up_to=UP_TO_PERCENT / 100,
        scores_up_to=lower.scores,
        differences_up_to=lower.differences,
        order_up_to=_order(names, [score.estimate for score in lower.scores]),
    )


def _order(names: Sequence[str], scores: Sequence[float]) -> tuple[str, ...]:
    return tuple(names[i] for i in np.argsort(-np.array(scores), kind="stable"))


def _by_cluster(values: NDArray[np.float64], clusters: Sequence[str | None]) -> NDArray[np.float64]:
    sums: dict[object, float] = {}
    for index, (value, cluster) in enumerate(zip(values, clusters, strict=True)):
        key = index if cluster is None else cluster
        sums[key] = sums.get(key, 0.0) + float(value)
    return np.array(list(sums.values()))
