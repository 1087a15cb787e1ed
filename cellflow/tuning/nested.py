"""Nested cross-validation of tuning: settings are chosen on all folds but one and scored on that.

The score on the images that thresholds were chosen on is too high, since the best of many is also
the luckiest. The nested score is not: for each outer fold, the other folds alone calibrate the
confidence, choose the settings, and decide whether to keep the defaults. The fold itself is then
predicted as users would predict it, and scored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.config import Config
from cellflow.diagnosis.boundary_bias import boundary_offsets
from cellflow.inference.cells import CellFinder
from cellflow.inference.confidence import Confidence, fit_confidence
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks
from cellflow.telling import Report
from cellflow.tuning.choice import assign_folds
from cellflow.tuning.flow_cache import SeenField
from cellflow.tuning.grid import Grid, Index
from cellflow.tuning.image_scores import Following, ImageCells, confidence_of, score_grid
from cellflow.tuning.search import Choice, choose_settings
from cellflow.wording import counted

FEWEST_CELLS = 10
"""A calibration needs at least this many right and this many wrong cells: two for each of its five
weights. With fewer, it would fit single cells, and could not be judged on others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TunedImage:
    """An image that thresholds are tuned on.

    Parameters
    ----------
    name : str
    cell_type : str or None
        The true one.
    told_type : str or None
        The one that the model predicts; it decides which settings the image gets.
    group : str
        Images of one group stay in one fold.
    truth : CellMasks
    cells : ImageCells
    look : callable
        ``look(factor)`` gives the flow field at a diameter factor.
    diameter : float or None
        The model's, pixels.
    """

    name: str
    cell_type: str | None
    told_type: str | None
    group: str
    truth: CellMasks
    cells: ImageCells
    look: Callable[[float], SeenField]
    diameter: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Scores of N images with some settings, predicted as users would predict them.

    Parameters
    ----------
    scores : (N,) float64
    offsets : tuple of N (K,) float64
        Boundary offsets of the found cells of each image, pixels.
    """

    scores: NDArray[np.float64]
    offsets: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Confidences of the cells of all images; each is calibrated on folds without its image.

    Parameters
    ----------
    is_right : (M,) bool
        Whether each cell matches a true one with an IoU above one half.
    raw, calibrated : (M,) float32
    """

    is_right: NDArray[np.bool_]
    raw: NDArray[np.float32]
    calibrated: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NestedResult:
    """The complete result of a nested tuning.

    Parameters
    ----------
    in_use : Index
        The settings before tuning.
    choice : Choice
        Chosen on all images.
    confidence : Confidence or None
        Fitted on all images. None if there is a `calibration_obstacle`, or if the cells to fit are
        all right or all wrong.
    default, itself, nested : Outcome
        With the settings in use; with `choice`, on the images that it was chosen on; with the
        choices of the other folds.
    kept : tuple of Choice
        Choice for each outer fold, made on the other folds.
    calibration : Calibration
    table : (N, grid…) float32
        Scores at every place of the grid, with `confidence`.
    """

    in_use: Index
    choice: Choice
    confidence: Confidence | None
    default: Outcome
    itself: Outcome
    nested: Outcome
    kept: tuple[Choice, ...]
    calibration: Calibration
    table: NDArray[np.float32]


def tune_nested(
    images: Sequence[TunedImage],
    grid: Grid,
    config: Config,
    default: Index,
    report: Report,
) -> NestedResult:
    """Choose settings on all images, and score this choice by nested cross-validation.

    Parameters
    ----------
    images : sequence of TunedImage
        In two groups or more.
    grid : Grid
    config : Config
        Its tuning section has the numbers of folds and the seed; the rest is for prediction.
    default : Index
        The settings in use.
    report : callable
        ``report(step, numbers)`` after every fold; numbers hold ``total``.

    Raises
    ------
    ConfigError
        All images are of one group.
    """
    settings = config.tuning
    kinds, groups = [one.cell_type for one in images], [one.group for one in images]
    outer = assign_folds(kinds, groups, settings.n_folds, np.random.default_rng(settings.seed))
    n_steps = len(np.unique(outer)) + 1
    nested: dict[int, tuple[float, NDArray[np.float64]]] = {}
    calibrations, kept = [], []
    for step, fold in enumerate(np.unique(outer)):
        train = [image for image, number in zip(images, outer, strict=True) if number != fold]
        confidence, choice, _ = _choose(train, grid, config, default)
        kept.append(choice)
        for i in np.flatnonzero(outer == fold).tolist():
            place = choice.of_type(images[i].told_type)
            nested[i] = _predicted(images[i], place, grid, config, confidence)
            calibrations.append(_calibrated(images[i], grid, default, confidence))
        report(step + 1, {"total": n_steps})
    confidence, choice, table = _choose(images, grid, config, default)
    itself = [
        _predicted(image, choice.of_type(image.told_type), grid, config, confidence)
        for image in images
    ]
    unchanged = [_predicted(image, default, grid, config, None) for image in images]
    right, raw, calibrated = (np.concatenate(parts) for parts in zip(*calibrations, strict=True))
    report(n_steps, {"total": n_steps})
    return NestedResult(
        in_use=default,
        choice=choice,
        confidence=confidence,
        default=_outcome(unchanged),
        itself=_outcome(itself),
        nested=_outcome([nested[i] for i in range(len(images))]),
        kept=tuple(kept),
        calibration=Calibration(is_right=right, raw=raw, calibrated=calibrated),
        table=table,
    )


def calibration_obstacle(is_right: NDArray[np.bool_]) -> str:
    """Say why a calibration cannot be judged on these cells; empty if it can.

    Parameters
    ----------
    is_right : (M,) bool
        Of the cells that the settings in use find.
    """
    n_cells, n_right = len(is_right), int(is_right.sum())
    if n_cells == 0:
        return "the settings in use find no cell"
    if min(n_right, n_cells - n_right) >= FEWEST_CELLS:
        return ""
    return (
        f"of {counted(n_cells, 'cell')} that the settings in use find {n_right} are right and "
        f"{n_cells - n_right} wrong; {FEWEST_CELLS} or more of each are needed"
    )


def _choose(
    images: Sequence[TunedImage], grid: Grid, config: Config, default: Index
) -> tuple[Confidence | None, Choice, NDArray[np.float32]]:
    """Calibrate the confidence and choose settings on `images` alone.

    Notes
    -----
    The confidence is fitted on the cells that pass the loosest flow check, since it replaces the
    check if "no check" is chosen. It is judged on those that pass the check in use.
    """
    judged = [_calibrated(image, grid, default, None)[0] for image in images]
    confidence = None
    if not calibration_obstacle(np.concatenate(judged)):
        largest_check = max(grid.flow_threshold)
        cells = [_cells_in_use(image, grid, default, largest_check) for image in images]
        confidence = fit_confidence(
            [following.features.select(keep) for following, keep in cells],
            [following.diameter for following, _ in cells],
            [_is_right(following, grid)[keep] for following, keep in cells],
        )
    table = np.stack([score_grid(image.cells, grid, confidence) for image in images])
    kinds, groups = [one.cell_type for one in images], [one.group for one in images]
    settings = config.tuning
    rng = np.random.default_rng(settings.seed)
    inner = assign_folds(kinds, groups, settings.n_inner_folds, rng)
    return confidence, choose_settings(table, kinds, groups, inner, default), table


def _cells_in_use(
    image: TunedImage, grid: Grid, default: Index, flow_threshold: float
) -> tuple[Following, NDArray[np.bool_]]:
    """Give the cells of an image at the settings in use, and a mask of those that a check keeps."""
    factor, threshold, _, _, size, _ = default
    following = image.cells.followings[factor][threshold]
    keep = following.sizes >= grid.min_size[size]
    if flow_threshold > 0:
        keep &= following.flow_errors <= flow_threshold
    return following, keep


def _is_right(following: Following, grid: Grid) -> NDArray[np.bool_]:
    """Tell which cells, without boundary shift, match a truth with an IoU above one half."""
    right: NDArray[np.bool_] = following.n_passed[grid.boundary_shift.index(0.0)] > 0
    return right


def _calibrated(
    image: TunedImage, grid: Grid, default: Index, confidence: Confidence | None
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    following, keep = _cells_in_use(image, grid, default, grid.flow_threshold[default[3]])
    return (
        _is_right(following, grid)[keep],
        confidence_of(following, None)[keep],
        confidence_of(following, confidence)[keep],
    )


def _predicted(
    image: TunedImage, place: Index, grid: Grid, config: Config, confidence: Confidence | None
) -> tuple[float, NDArray[np.float64]]:
    """Give score and boundary offsets of an image, predicted by the code that users run."""
    seen = image.look(grid.diameter_factor[place[0]])
    settings = grid.settings_at(place, image.diameter)
    finder = CellFinder(config=settings.applied_to(config), confidence=confidence)
    found = finder.find(seen.field, image.name, diameter=seen.diameter, diam_mean=seen.diam_mean)
    score = average_precision(image.truth, found.labels).mean
    return score, boundary_offsets(image.truth, found.labels)


def _outcome(found: Sequence[tuple[float, NDArray[np.float64]]]) -> Outcome:
    """Put together what `_predicted` gave for all images, in their order."""
    scores, offsets = zip(*found, strict=True)
    return Outcome(scores=np.array(scores, np.float64), offsets=offsets)
