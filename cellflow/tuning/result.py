"""The result of `cellflow tune`: scores with intervals, what was chosen, and how certain it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cellflow.diagnosis.boundary_bias import BoundaryBias, summarize_offsets
from cellflow.interval import Interval
from cellflow.metrics.bootstrap import mean_interval, paired_difference
from cellflow.metrics.by_type import indices_by_type
from cellflow.metrics.few_groups import coverage_remark
from cellflow.metrics.reliability import Reliability, measure_reliability
from cellflow.network.thresholds import CellSettings
from cellflow.tuning.choice import ALL_TYPES
from cellflow.tuning.grid import Grid
from cellflow.tuning.nested import NestedResult, TunedImage, calibration_obstacle
from cellflow.tuning.search import Verdict
from cellflow.wording import counted

ALL = "all"
"""Name of the row of all images together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeResult:
    """Result of tuning for all images, or those of a cell type.

    Parameters
    ----------
    n_images : int
    settings : CellSettings
        The chosen settings, which prediction will use; without the diameter.
    diameter_factor : float
        Multiplies each model's own diameter.
    is_tuned : bool
        Whether the settings differ from the ones in use before.
    verdict : Verdict or None
        Gain of settings chosen for these images, on folds that did not choose them; None if there
        are too few images.
    default, itself, nested : Interval
        Score with the settings in use before; with the choice, on the images that it was chosen on;
        and with choices made on other images, the unbiased score.
    gain, optimism : Interval
        Nested minus default, and itself minus nested, paired by image.
    bias_before, bias_after : BoundaryBias
        Of the default and of the nested predictions.
    """

    n_images: int
    settings: CellSettings
    diameter_factor: float
    is_tuned: bool
    verdict: Verdict | None
    default: Interval
    itself: Interval
    nested: Interval
    gain: Interval
    optimism: Interval
    bias_before: BoundaryBias
    bias_after: BoundaryBias


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneResult:
    """Result of a tuning.

    Parameters
    ----------
    n_settings : int
        Number of combinations that were tried.
    types : mapping of str to TypeResult
        ``all``, then each cell type.
    raw, calibrated : Reliability
        Of the confidence of cells before and after calibration, on images that it was not
        calibrated on.
    obstacle : str
        Why the confidence cannot be calibrated; empty if it can.
    told : mapping of str to float
        Shares of images whose cell type was predicted right, wrong, or not at all ("left_open");
        empty without types.
    remarks : tuple of str
        Sentences that a reader of the result must know.
    """

    n_settings: int
    types: Mapping[str, TypeResult]
    raw: Reliability
    calibrated: Reliability
    obstacle: str
    told: Mapping[str, float]
    remarks: tuple[str, ...]

    @property
    def is_calibration_taken(self) -> bool:
        """Whether the calibrated confidence is better, or a chosen score threshold relies on it.

        Better means a smaller Brier score of the cells that the settings in use before find. Always
        false if there is an obstacle.
        """
        if self.obstacle:
            return False
        rests_on_it = any(one.settings.score_threshold > 0 for one in self.types.values())
        return rests_on_it or self.calibrated.brier < self.raw.brier

    def to_dict(self) -> dict[str, Any]:
        """Give the result as plain values, for JSON."""
        return asdict(self) | {"is_calibration_taken": self.is_calibration_taken}

    def table(self) -> str:
        """Give the result as a text table."""
        from cellflow.tuning.tables import tune_table

        return tune_table(self)


def summarize(
    found: NestedResult, images: Sequence[TunedImage], grid: Grid, remarks: Sequence[str], seed: int
) -> TuneResult:
    """Summarise a nested tuning over all images and for each cell type.

    Parameters
    ----------
    found : NestedResult
    images : sequence of TunedImage
    grid : Grid
    remarks : sequence of str
        Remarks to put first into the result.
    seed : int
        Of the bootstrap.
    """
    of_type = indices_by_type(image.cell_type for image in images)
    rows = {ALL: np.arange(len(images))} | {kind: np.array(own) for kind, own in of_type.items()}
    calibration = found.calibration
    return TuneResult(
        n_settings=grid.size,
        types={
            kind: _of_images(found, images, grid, kind, own, np.random.default_rng(seed))
            for kind, own in rows.items()
        },
        raw=measure_reliability(calibration.raw, calibration.is_right),
        calibrated=measure_reliability(calibration.calibrated, calibration.is_right),
        obstacle=_obstacle(found),
        told=_told(images) if of_type else {},
        remarks=(*remarks, *_remarks(images)),
    )


def _of_images(
    found: NestedResult,
    images: Sequence[TunedImage],
    grid: Grid,
    kind: str,
    own: np.ndarray[Any, np.dtype[np.int64]],
    rng: np.random.Generator,
) -> TypeResult:
    key = ALL_TYPES if kind == ALL else kind
    place = found.choice.of_type(key)
    how: dict[str, Any] = {
        "strata": [images[i].cell_type for i in own],
        "clusters": [images[i].group for i in own],
        "rng": rng,
    }
    default, itself, nested = (
        outcome.scores[own] for outcome in (found.default, found.itself, found.nested)
    )
    return TypeResult(
        n_images=len({images[i].name for i in own}),
        settings=grid.settings_at(place, None),
        diameter_factor=grid.diameter_factor[place[0]],
        is_tuned=place != found.in_use,
        verdict=found.choice.verdicts.get(key),
        default=mean_interval(default, within=(0, 1), **how),
        itself=mean_interval(itself, within=(0, 1), **how),
        nested=mean_interval(nested, within=(0, 1), **how),
        gain=paired_difference(nested, default, **how),
        optimism=paired_difference(itself, nested, **how),
        bias_before=summarize_offsets([found.default.offsets[i] for i in own], **how),
        bias_after=summarize_offsets([found.nested.offsets[i] for i in own], **how),
    )


def _obstacle(found: NestedResult) -> str:
    if obstacle := calibration_obstacle(found.calibration.is_right):
        return obstacle
    is_fitted = found.confidence is not None
    return "" if is_fitted else "the cells to fit it to are all right or all wrong"


def _told(images: Sequence[TunedImage]) -> dict[str, float]:
    typed = [image for image in images if image.cell_type]
    right = sum(image.told_type == image.cell_type for image in typed) / len(typed)
    left_open = sum(image.told_type is None for image in typed) / len(typed)
    return {"right": right, "wrong": max(0.0, 1 - right - left_open), "left_open": left_open}


def _remarks(images: Sequence[TunedImage]) -> list[str]:
    n_images, n_groups = (len({getattr(i, key) for i in images}) for key in ("name", "group"))
    each = ""
    if len(images) > n_images:
        each = f", seen {len(images)} times by several models"
    return [
        f"{counted(n_images, 'held-out image')} in {counted(n_groups, 'independent group')}{each}; "
        "intervals resample the groups within each cell type",
        *coverage_remark([image.group for image in images]),
    ]
