"""Error budget: how much the score would gain if one kind of error were corrected ("cured").

One kind is cured at a time, everything else stays as it is. The gains do not add up: a cell must be
found before its outline matters. A cure may change more cells than those with the error: that of
the boundary also redraws every found cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cellflow.data.flatten import flatten
from cellflow.data.rle import labels_to_masks
from cellflow.errors import DataError
from cellflow.interval import Interval
from cellflow.metrics.average_precision import average_precision
from cellflow.metrics.bootstrap import N_DRAWS, Labels, mean_interval
from cellflow.metrics.cell_errors import KINDS, CellErrors, find_cell_errors
from cellflow.metrics.overlap import Cells, as_masks
from cellflow.records import CellMasks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageErrors:
    """The errors of one image.

    Parameters
    ----------
    cells : CellErrors
    truth_areas : (N,) int64
        Pixels of the true cells.
    score : float
        Mean average precision.
    cured : mapping of str to float
        The score without one kind of error, for each of `KINDS`.
    n_cured : mapping of str to int
        Number of cells that each cure changes: predicted cells for spurious and split, true cells
        for the other kinds.
    """

    cells: CellErrors
    truth_areas: NDArray[np.int64]
    score: float
    cured: Mapping[str, float]
    n_cured: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindBudget:
    """One kind of error over several images.

    Parameters
    ----------
    n_truths, n_predicted : int
        Cells of either side with this error; over all kinds, and with the found ones, they add up
        to all cells. For boundary only cells with an IoU of at most one half.
    n_cured : int
        Number of cells that the cure changes, and that the gain comes from, see `ImageErrors`.
    cured : float
        Mean score over the images without this error.
    gain : Interval
        `cured` minus the score, paired by image. For merged cells it may be below 0, if a
        prediction was a hit and none of the parts that it is cut into is.
    """

    n_truths: int
    n_predicted: int
    n_cured: int
    cured: float
    gain: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """The errors of several images, for instance all of a cell type.

    Parameters
    ----------
    n_images, n_truths, n_predicted : int
    n_found : int
        Pairs of a truth and a prediction with an IoU above one half.
    found_iou : float
        Mean IoU of these pairs; NaN without any.
    score : Interval
        Mean average precision over images.
    kinds : mapping of str to KindBudget
        For each of `KINDS`.
    """

    n_images: int
    n_truths: int
    n_predicted: int
    n_found: int
    found_iou: float
    score: Interval
    kinds: Mapping[str, KindBudget]


def image_errors(truth: Cells, predicted: Cells) -> ImageErrors:
    """Classify the errors of one image, and score it with each kind cured.

    Parameters
    ----------
    truth, predicted : CellMasks, or (H, W) label image
        Truths may overlap; predictions that overlap are flattened first, small cells on top.

    Raises
    ------
    LabelError
        The two are for images of different size, or are not valid labels.

    Notes
    -----
    The cures:

    - missed: the true cell is added;
    - spurious: the prediction is removed;
    - split: the pieces become one cell;
    - merged: the prediction is cut; each pixel goes to the smallest truth that covers it, or else
      to the nearest one;
    - boundary: cells that are found, or have only a wrong boundary, get the true outline.
    """
    truth = as_masks(truth)
    labels = flatten(as_masks(predicted))
    masks = labels_to_masks(labels)
    cells = find_cell_errors(truth, masks)
    # Cells that are completely covered by others leave gaps in the numbers; close them.
    numbers = np.flatnonzero(np.bincount(labels.ravel())[1:]) + 1
    table = np.zeros(int(numbers.max(initial=0)) + 1, np.int32)
    table[numbers] = np.arange(1, len(numbers) + 1)
    labels = table[labels]
    cured: dict[str, Cells] = {
        "missed": CellMasks.concatenate([masks, truth.select(cells.truth_kinds == "missed")]),
        "spurious": masks.select(cells.predicted_kinds != "spurious"),
        "split": _joined(labels, cells),
        "merged": _cut(labels, cells, truth),
        "boundary": _redrawn(masks, cells, truth),
    }
    return ImageErrors(
        cells=cells,
        truth_areas=truth.areas,
        score=average_precision(truth, masks).mean,
        cured={kind: average_precision(truth, cured[kind]).mean for kind in KINDS},
        n_cured=_count_cured(cells),
    )


def summarize_errors(
    images: Sequence[ImageErrors],
    *,
    rng: np.random.Generator,
    strata: Labels = None,
    clusters: Labels = None,
    n_draws: int = N_DRAWS,
) -> ErrorBudget:
    """Combine the errors of several images.

    Parameters
    ----------
    images : sequence of ImageErrors
        At least one.
    rng, strata, clusters, n_draws
        Of the bootstrap, see `mean_interval`.

    Raises
    ------
    DataError
        There is no image.
    """
    if not images:
        raise DataError("no image to sum the errors of")
    how: dict[str, Any] = {"strata": strata, "clusters": clusters, "n_draws": n_draws}
    scores = np.array([image.score for image in images])
    truth_kinds = np.concatenate([image.cells.truth_kinds for image in images])
    predicted_kinds = np.concatenate([image.cells.predicted_kinds for image in images])
    found = np.concatenate([i.cells.iou[i.cells.truth_kinds == "found"] for i in images])
    kinds = {}
    for kind in KINDS:
        cured = np.array([image.cured[kind] for image in images])
        # Cutting a prediction may lose a hit; no other cure lowers the score.
        least = -1 if kind == "merged" else 0
        kinds[kind] = KindBudget(
            n_truths=int((truth_kinds == kind).sum()),
            n_predicted=int((predicted_kinds == kind).sum()),
            n_cured=sum(image.n_cured[kind] for image in images),
            cured=float(cured.mean()),
            gain=mean_interval(cured - scores, rng=rng, within=(least, 1), **how),
        )
    return ErrorBudget(
        n_images=len(images),
        n_truths=len(truth_kinds),
        n_predicted=len(predicted_kinds),
        n_found=len(found),
        found_iou=float(found.mean()) if len(found) else float("nan"),
        score=mean_interval(scores, rng=rng, within=(0, 1), **how),
        kinds=kinds,
    )


def _count_cured(cells: CellErrors) -> dict[str, int]:
    """Count the cells that each cure adds, removes, joins, cuts or redraws."""
    pieces = np.flatnonzero(cells.predicted_kinds == "split")
    joined = np.union1d(pieces, cells.partners[cells.owners[pieces]])
    held_by = cells.partners[cells.truth_kinds == "merged"]
    redrawn = np.isin(cells.truth_kinds, ["found", "boundary"]) & (cells.iou < 1)
    return {
        "missed": int((cells.truth_kinds == "missed").sum()),
        "spurious": int((cells.predicted_kinds == "spurious").sum()),
        "split": len(joined),
        "merged": int(np.isin(cells.partners, held_by).sum()),
        "boundary": int(redrawn.sum()),
    }


def _joined(labels: NDArray[np.int32], cells: CellErrors) -> NDArray[np.int32]:
    """Give every piece of a split cell the label of its truth's partner."""
    table = np.arange(len(cells.owners) + 1, dtype=np.int32)
    pieces = np.flatnonzero(cells.predicted_kinds == "split")
    table[pieces + 1] = cells.partners[cells.owners[pieces]] + 1
    joined: NDArray[np.int32] = table[labels]
    return joined


def _cut(labels: NDArray[np.int32], cells: CellErrors, truth: CellMasks) -> NDArray[np.int32]:
    """Divide every prediction that contains a merged truth among the truths in it."""
    cut, n = labels.copy(), len(cells.owners)
    for p in np.unique(cells.partners[cells.truth_kinds == "merged"]):
        held = np.flatnonzero(cells.partners == p)
        drawn = flatten(truth.select(held))
        rows, columns = (np.flatnonzero((labels == p + 1).any(axis=axis)) for axis in (1, 0))
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        near = distance_transform_edt(
            drawn[window] == 0, return_distances=False, return_indices=True
        )
        inside = labels[window] == p + 1
        cut[window][inside] = n + drawn[window][tuple(near)][inside]
        n += len(held)
    return cut


def _redrawn(masks: CellMasks, cells: CellErrors, truth: CellMasks) -> CellMasks:
    """Replace found cells, and those with a wrong boundary, by the true cells."""
    mended = np.isin(cells.truth_kinds, ["found", "boundary"])
    kept = np.ones(len(masks), bool)
    kept[cells.partners[mended]] = False
    return CellMasks.concatenate([masks.select(kept), truth.select(mended)])
