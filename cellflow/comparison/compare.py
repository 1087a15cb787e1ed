"""Which of several submissions is better, and how sure we are: paired by image."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.tables import comparison_table
from cellflow.data.kaggle import KaggleImage, read_train_csv
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, SubmissionError
from cellflow.metrics.average_precision import Variant
from cellflow.metrics.bootstrap import (
    N_DRAWS,
    degrees_of_freedom,
    interval_of,
    mean_interval,
    resampled_sums,
    standard_error,
)
from cellflow.metrics.score import Score, score_images
from cellflow.records import CellMasks, Interval

POWER_FACTOR = 2.8
"""Standard errors that a difference must measure to be seen with 80 % power at the 5 % level:
1.96 + 0.84."""

N_PERMUTATIONS = 10_000
EXACT_UP_TO = 14
"""Images (or clusters) up to which all 2^n sign flips are tried."""

CEILING_IMAGES, CEILING_CELLS = 3, 50
"""A count ceiling is suspected when this many images have exactly the largest count, and that
is at least so many cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """How much better the first of two submissions is.

    Parameters
    ----------
    first, second : str
    difference : Interval
        Mean over images of first minus second, in mAP.
    probability_first_better : float
        Share of the bootstrap draws with a positive difference.
    p_value : float
        Two-sided permutation test by flipping the sign of each image's difference.
    smallest_visible : float
        Difference that this many images would show with 80 % power at the 5 % level, mAP; NaN
        when there are too few for an interval.
    per_cell_type : dict of str to Interval
        The difference within each cell type.
    """

    first: str
    second: str
    difference: Interval
    probability_first_better: float
    p_value: float
    smallest_visible: float
    per_cell_type: dict[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Scores of several submissions on the same images, and all their paired differences.

    Parameters
    ----------
    names : tuple of str
    scores : tuple of Score
    pairs : tuple of PairedDifference
        Of every two submissions, in the order given.
    remarks : tuple of str
        What the reader must know: images left out, count ceilings, few images.
    """

    names: tuple[str, ...]
    scores: tuple[Score, ...]
    pairs: tuple[PairedDifference, ...]
    remarks: tuple[str, ...]

    def table(self) -> str:
        """Give the comparison as tables for reading."""
        return comparison_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Give the comparison as plain values, for JSON."""
        scores = zip(self.names, self.scores, strict=True)
        return {
            "scores": {name: score.to_dict() for name, score in scores},
            "pairs": [_plain(pair) for pair in self.pairs],
            "remarks": list(self.remarks),
        }


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
    """Compare submissions on the same images.

    Parameters
    ----------
    submissions : sequence of path
        Two or more submission files.
    truth : path
        The competition's ``train.csv``.
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
        The variant cannot be paired by image.
    DataError, RleError
        `truth` cannot be read.
    SubmissionError
        Fewer than two submissions, one breaks a rule of the competition, or they cover different
        images.
    """
    if len(submissions) < 2:
        raise SubmissionError("a comparison needs two submissions or more")
    if variant == "pooled":
        raise ConfigError("variant pooled has no scores of single images to pair; take another")
    images = read_train_csv(truth)
    shapes = {name: image.masks.shape for name, image in images.items()}
    predictions = [read_submission(path, shapes) for path in submissions]
    names = _distinct_names([Path(path) for path in submissions])
    covered, remarks = _common_images(names, predictions, images, common_only=common_only)
    if all_truth:
        covered = list(images)
    elif left_out := [name for name in images if name not in set(covered)]:
        remarks.append(
            f"{len(left_out)} truth images are in no submission or not in all, and are "
            f"left out: {_some(left_out)}"
        )
    scores = [
        _score(covered, images, predicted, variant, n_draws, np.random.default_rng(seed))
        for predicted in predictions
    ]
    for name, predicted in zip(names, predictions, strict=True):
        remarks += _ceiling_remark(name, predicted, covered, images)
    pairs = [
        _pair(names[a], names[b], scores[a], scores[b], n_draws, np.random.default_rng(seed))
        for a, b in itertools.combinations(range(len(names)), 2)
    ]
    return Comparison(
        names=tuple(names), scores=tuple(scores), pairs=tuple(pairs), remarks=tuple(remarks)
    )


def sign_flip_p_value(
    differences: NDArray[np.float64], rng: np.random.Generator, n_draws: int = N_PERMUTATIONS
) -> float:
    """Give the two-sided p that differences as far from 0 arise by chance.

    Parameters
    ----------
    differences : (N,) float64
        One an image, or one sum a cluster.
    rng : numpy.random.Generator
    n_draws : int
        Random flips, where all 2^N are too many.

    Notes
    -----
    Exact up to `EXACT_UP_TO` values. Beyond, the observed arrangement counts as one of the
    draws, so that p is never 0.
    """
    n = len(differences)
    observed = abs(differences.sum()) - 1e-12
    if n <= EXACT_UP_TO:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        return float((np.abs((1 - 2 * bits) @ differences) >= observed).mean())
    signs = rng.integers(0, 2, size=(n_draws, n), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ differences) >= observed).sum()) / (1 + n_draws))


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    stems = Counter(path.stem for path in paths)
    return [path.stem if stems[path.stem] == 1 else str(path) for path in paths]


def _common_images(
    names: Sequence[str],
    predictions: Sequence[Mapping[str, CellMasks]],
    images: Mapping[str, KaggleImage],
    *,
    common_only: bool,
) -> tuple[list[str], list[str]]:
    """Give the truth images that all submissions cover, or refuse naming the differences."""
    sets = [{name for name in predicted if name in images} for predicted in predictions]
    common = set.intersection(*sets)
    remarks = []
    for name, found in zip(names, sets, strict=True):
        missing = sorted(set.union(*sets) - found)
        if missing and not common_only:
            raise SubmissionError(
                f"{name} lacks {len(missing)} images that others have ({_some(missing)}); "
                "--common-only compares on the images that all have"
            )
        if missing:
            remarks.append(f"{name} lacks {len(missing)} images that others have")
    if not common:
        raise SubmissionError("no truth image is covered by all submissions")
    return [name for name in images if name in common], remarks


def _score(
    covered: Sequence[str],
    images: Mapping[str, KaggleImage],
    predicted: Mapping[str, CellMasks],
    variant: Variant,
    n_draws: int,
    rng: np.random.Generator,
) -> Score:
    return score_images(
        {name: images[name].masks for name in covered},
        predicted,
        cell_types={name: images[name].cell_type for name in covered},
        groups={name: images[name].group for name in covered},
        variant=variant,
        n_draws=n_draws,
        rng=rng,
    )


def _pair(
    first: str, second: str, a: Score, b: Score, n_draws: int, rng: np.random.Generator
) -> PairedDifference:
    difference = a.image_scores - b.image_scores
    strata, clusters = a.cell_types, a.groups
    rows = np.stack([difference, np.ones(len(difference))])
    sums = resampled_sums(rows, rng=rng, strata=strata, clusters=clusters, n_draws=n_draws)
    draws = sums[0] / sums[1]
    freedom = degrees_of_freedom(len(difference), strata, clusters)
    per_type = {}
    for kind in a.per_cell_type:
        chosen = [i for i, other in enumerate(strata) if other == kind]
        per_type[kind] = mean_interval(
            difference[chosen], rng=rng, clusters=[clusters[i] for i in chosen], n_draws=n_draws
        )
    return PairedDifference(
        first=first,
        second=second,
        difference=interval_of(float(difference.mean()), draws, freedom),
        probability_first_better=float((draws > 0).mean()),
        p_value=sign_flip_p_value(_by_cluster(difference, clusters), rng),
        smallest_visible=POWER_FACTOR * standard_error(draws, freedom),
        per_cell_type=per_type,
    )


def _by_cluster(values: NDArray[np.float64], clusters: Sequence[str | None]) -> NDArray[np.float64]:
    sums: dict[object, float] = {}
    for index, (value, cluster) in enumerate(zip(values, clusters, strict=True)):
        key = index if cluster is None else cluster
        sums[key] = sums.get(key, 0.0) + float(value)
    return np.array(list(sums.values()))


def _ceiling_remark(
    name: str,
    predicted: Mapping[str, CellMasks],
    covered: Sequence[str],
    images: Mapping[str, KaggleImage],
) -> list[str]:
    """Warn when many images stop at exactly the same largest number of cells."""
    counts = {image: len(predicted[image]) for image in covered if image in predicted}
    most = max(counts.values(), default=0)
    at_most = [image for image, count in counts.items() if count == most]
    if len(at_most) < CEILING_IMAGES or most < CEILING_CELLS:
        return []
    kinds = Counter(images[image].cell_type or "unknown" for image in at_most)
    where = ", ".join(f"{count} of {kind}" for kind, count in sorted(kinds.items()))
    return [
        f"{name} has exactly {most} cells on {len(at_most)} images ({where}): a limit of its "
        "detector, not a finding; nothing about dense images follows from its score there"
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _plain(pair: PairedDifference) -> dict[str, Any]:
    def bounds(interval: Interval) -> dict[str, float]:
        return {"mean": interval.estimate, "low": interval.low, "high": interval.high}

    return {
        "first": pair.first,
        "second": pair.second,
        "difference": bounds(pair.difference),
        "probability_first_better": pair.probability_first_better,
        "p_value": pair.p_value,
        "smallest_visible": pair.smallest_visible,
        "per_cell_type": {kind: bounds(one) for kind, one in pair.per_cell_type.items()},
    }
