"""The score of many images: per image, cell type and threshold, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import DataError
from cellflow.interval import Interval
from cellflow.metrics.average_precision import ONE_TO_ONE, Variant, average_precision
from cellflow.metrics.bootstrap import N_DRAWS, degrees_of_freedom, interval_of, resampled_sums
from cellflow.metrics.by_type import indices_by_type
from cellflow.metrics.few_groups import coverage_remark, independence_remark
from cellflow.metrics.matching import THRESHOLDS
from cellflow.metrics.overlap import Cells, as_masks, checked_cells
from cellflow.metrics.pooled import Pooled, pool
from cellflow.metrics.tables import score_table
from cellflow.records import CellMasks, ImagePrecision
from cellflow.wording import counted

EMPTY_CASES = "An image with neither truth nor prediction counts 1, with only one of them 0."


def empty_cases(variant: Variant) -> str:
    """Say how a variant scores images without cells."""
    return "An image without cells counts nothing." if variant == "pooled" else EMPTY_CASES


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeScore:
    """The score over some of the images.

    Parameters
    ----------
    n_images, n_truths, n_predicted : int
    mean : Interval
        Mean average precision over thresholds and images.
    per_threshold : (T,) float64
        Average precision at each IoU threshold: the mean over the images ("macro"), except in the
        variant ``pooled``.
    pooled : Pooled or None
        Counts summed over the images ("micro"), and their precision, recall, F1, and so on. None in
        variants that do not match cells one-to-one.
    """

    n_images: int
    n_truths: int
    n_predicted: int
    mean: Interval
    per_threshold: NDArray[np.float64]
    pooled: Pooled | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Score:
    """The score of one set of predictions.

    Parameters
    ----------
    variant : str
        As for `average_precision`.
    thresholds : (T,) float64
        IoU thresholds, ascending.
    names, cell_types, groups : tuple
        Of the N images, in the order of `images`; unknown cell types and groups are None.
    images : tuple of ImagePrecision
    overall : TypeScore
    per_cell_type : dict of str to TypeScore
    remarks : tuple of str
        Sentences that a reader of the score must know.
    """

    variant: Variant
    thresholds: NDArray[np.float64]
    names: tuple[str, ...]
    cell_types: tuple[str | None, ...]
    groups: tuple[str | None, ...]
    images: tuple[ImagePrecision, ...]
    overall: TypeScore
    per_cell_type: dict[str, TypeScore]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        images = counted(len(self.names), "image")
        return f"<{type(self).__name__}: {self.metric} {self.mean}, {images}, {self.variant}>"

    @property
    def mean(self) -> Interval:
        """Mean average precision with its 95 % interval."""
        return self.overall.mean

    @property
    def has_all_thresholds(self) -> bool:
        """Whether the thresholds are the ten of the mAP, 0.50, 0.55 … 0.95."""
        return np.array_equal(self.thresholds, THRESHOLDS)

    @property
    def metric(self) -> str:
        """Name of the mean: mAP, or for other thresholds, say, "mean of AP50 and AP75"."""
        if self.has_all_thresholds:
            return "mAP"
        *others, last = (f"AP{100 * threshold:.0f}" for threshold in self.thresholds)
        return f"mean of {', '.join(others)} and {last}" if others else last

    @property
    def image_scores(self) -> NDArray[np.float64]:
        """Score of each image, (N,) float64."""
        return np.array([image.mean for image in self.images])

    def table(self, *, by_threshold: bool = False) -> str:
        """Give the score as a text table.

        Parameters
        ----------
        by_threshold : bool
            Whether to add TP, FP, FN, precision, recall, F1 and so on at each threshold.

        Raises
        ------
        ConfigError
            `by_threshold` is asked of a variant that does not match cells one-to-one.
        """
        return score_table(self, by_threshold=by_threshold)

    def to_dict(self) -> dict[str, Any]:
        """Give the score as plain values, for JSON."""
        return {
            "variant": self.variant,
            "metric": self.metric,
            "overall": _plain(self.overall),
            "per_cell_type": {name: _plain(one) for name, one in self.per_cell_type.items()},
            "thresholds": self.thresholds.tolist(),
            "images": {
                name: {
                    "cell_type": kind,
                    "score": image.mean,
                    "average_precision": image.precision.tolist(),
                    "tp": image.counts.tp.tolist(),
                    "fp": image.counts.fp.tolist(),
                    "fn": image.counts.fn.tolist(),
                }
                for name, kind, image in zip(self.names, self.cell_types, self.images, strict=True)
            },
            "remarks": [empty_cases(self.variant), *self.remarks],
        }


def score_images(
    truths: Mapping[str, Cells],
    predictions: Mapping[str, Cells],
    *,
    rng: np.random.Generator,
    cell_types: Mapping[str, str | None] | None = None,
    groups: Mapping[str, str | None] | None = None,
    variant: Variant = "competition",
    thresholds: Sequence[float] | None = None,
    n_draws: int = N_DRAWS,
) -> Score:
    """Score predictions that are already in memory.

    Parameters
    ----------
    truths : mapping of image name to CellMasks or label image
        The images to score, at least one.
    predictions : mapping of image name to CellMasks or label image
        A missing image counts as one without prediction.
    rng : numpy.random.Generator
        Of the bootstrap.
    cell_types, groups : mapping of image name to str or None, optional
        Strata and clusters of the bootstrap.
    variant, thresholds : str, sequence of float
        As for `average_precision`.
    n_draws : int
        Resamples of the bootstrap.

    Raises
    ------
    ConfigError
        An unknown variant or threshold.
    DataError
        There is no image, or all predictions are of other images.
    LabelError
        Truth and prediction of an image differ in size, or are neither `CellMasks` nor an array.
    """
    if not truths:
        raise DataError("no image to score")
    if predictions and not truths.keys() & predictions.keys():
        raise DataError(
            f"no image is predicted: the truth is of images such as {next(iter(truths))!r}, the "
            f"predictions of images such as {next(iter(predictions))!r}"
        )
    names = tuple(truths)
    images = tuple(
        average_precision(
            truth,
            predictions[name] if name in predictions else _nothing(truth),
            variant=variant,
            thresholds=thresholds,
        )
        for name, truth in truths.items()
    )
    kinds = tuple((cell_types or {}).get(name) for name in names)
    wells = tuple((groups or {}).get(name) for name in names)

    def over(chosen: list[int]) -> TypeScore:
        return _summarize(
            [images[i] for i in chosen],
            [kinds[i] for i in chosen],
            [wells[i] for i in chosen],
            variant=variant,
            n_draws=n_draws,
            rng=rng,
        )

    return Score(
        variant=variant,
        thresholds=images[0].counts.thresholds,
        names=names,
        cell_types=kinds,
        groups=wells,
        images=images,
        overall=over(list(range(len(names)))),
        per_cell_type={kind: over(own) for kind, own in indices_by_type(kinds).items()},
        remarks=(*independence_remark(wells), *coverage_remark(wells)),
    )


def _summarize(
    images: Sequence[ImagePrecision],
    strata: Sequence[str | None],
    clusters: Sequence[str | None],
    *,
    variant: Variant,
    n_draws: int,
    rng: np.random.Generator,
) -> TypeScore:
    hits = np.stack([image.counts.tp for image in images], axis=1).astype(np.float64)
    # The denominator: TP + FP + FN at each threshold if pooled, else the number of images.
    if variant == "pooled":
        totals = hits + np.stack([i.counts.fp + i.counts.fn for i in images], axis=1)
        shares = hits
    else:
        totals = np.ones((1, len(images)))
        shares = np.stack([image.precision for image in images], axis=1)
    sums = resampled_sums(
        np.concatenate([shares, totals]),
        rng=rng,
        strata=strata,
        clusters=clusters,
        n_draws=n_draws,
    )
    draws = _ratio(sums[: len(shares)], sums[len(shares) :]).mean(axis=0)
    per_threshold = _ratio(shares.sum(axis=1), totals.sum(axis=1))
    weights = np.maximum(totals.sum(axis=1, keepdims=True), 1)
    residuals = ((shares - per_threshold[:, None] * totals) / weights).mean(axis=0)
    freedom = degrees_of_freedom(residuals, strata, clusters)
    return TypeScore(
        n_images=len(images),
        n_truths=sum(image.n_truths for image in images),
        n_predicted=sum(image.n_predicted for image in images),
        mean=interval_of(float(per_threshold.mean()), draws, freedom, within=(0, 1)),
        per_threshold=per_threshold,
        pooled=pool([image.counts for image in images]) if variant in ONE_TO_ONE else None,
    )


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; 0 / 0 gives 1."""
    ratio: NDArray[np.float64] = np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
    return ratio


def _nothing(truth: Cells) -> CellMasks:
    height, width = as_masks(checked_cells("truth", truth)).shape
    return CellMasks.empty((height, width))


def _plain(score: TypeScore) -> dict[str, Any]:
    return {
        "images": score.n_images,
        "truths": score.n_truths,
        "predicted": score.n_predicted,
        "mean": score.mean.estimate,
        "low": score.mean.low,
        "high": score.mean.high,
        "level": score.mean.level,
        "per_threshold": score.per_threshold.tolist(),
        "pooled": None if score.pooled is None else score.pooled.to_dict(),
    }
