"""A `MethodScore` to a CSV table of its cells: the matched pairs, the missed, the spurious ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.score import MethodScore
from cellflow.data.flatten import flatten
from cellflow.data.rle import labels_to_masks
from cellflow.data.tables import write_table
from cellflow.metrics.average_precision import above, require_pairs
from cellflow.metrics.matching import match_pairs
from cellflow.metrics.overlap import find_overlap
from cellflow.records import CellMasks
from cellflow.wording import counted

_CELL = ("cell", "area_px", "center_y_px", "center_x_px")
COLUMNS = (
    *("image", "cell_type", "outcome", "iou", "iou_threshold"),
    *(f"truth_{name}" for name in _CELL),
    *(f"predicted_{name}" for name in _CELL),
)

Cell = tuple[object, ...]
"""Number, area and centre of a cell, as in `_CELL`."""

_NONE: Cell = ("",) * len(_CELL)


def write_matches(path: Path | str, score: MethodScore) -> str:
    """Write one row for each hit, missed and spurious cell at the lowest threshold of the score.

    Parameters
    ----------
    path : path
    score : MethodScore

    Returns
    -------
    str
        What was written, in a sentence.

    Raises
    ------
    ConfigError
        The variant of the score does not match cells one-to-one.
    DataError
        The file cannot be written.

    Notes
    -----
    A hit has an IoU, and the cells of both sides; a missed cell is a truth and a spurious one a
    prediction without partner. There are as many of them as the score counts. ``cell`` is the
    number of a cell among those scored in its image, from 1 in the order of the file. In a label
    image without gaps that is the label. Detections that were cut or lost all pixels to others
    have no number. In the variant ``hungarian-ge`` areas are those after flattening.
    """
    require_pairs(score.variant, "a table of pairs")
    outcomes = {"hit": 0, "missed": 0, "spurious": 0}

    def rows() -> Iterator[tuple[object, ...]]:
        percent = round(100 * score.thresholds[0])
        for image, kind in zip(score.names, score.cell_types, strict=True):
            truth = score.truths[image]
            predicted = score.predicted.get(image, CellMasks.empty(truth.shape))
            for outcome, *rest in _rows(truth, predicted, percent, score.variant == "hungarian-ge"):
                outcomes[str(outcome)] += 1
                yield (image, kind or "", outcome, *rest)

    write_table(path, COLUMNS, rows())
    return (
        f"{path}: {counted(outcomes['hit'], 'hit')} with IoU {above(score.variant)} "
        f"{score.thresholds[0]:.2f}, {outcomes['missed']} missed, {outcomes['spurious']} spurious"
    )


def _rows(
    truth: CellMasks, predicted: CellMasks, percent: int, as_labels: bool
) -> Iterator[tuple[object, ...]]:
    """Give the rows of an image from the outcome on: all truths, then the spurious predictions."""
    truths, true_cells = _described(truth, as_labels)
    predictions, predicted_cells = _described(predicted, as_labels)
    overlap = find_overlap(truths, predictions)
    pairs = match_pairs(overlap, percent, or_equal=as_labels)
    of_truth = dict(zip(overlap.truth[pairs].tolist(), pairs.tolist(), strict=True))
    matched = set(overlap.predicted[pairs].tolist())
    threshold = percent / 100
    for index, cell in enumerate(true_cells):
        pair = of_truth.get(index)
        if pair is None:
            yield ("missed", "", threshold, *cell, *_NONE)
        else:
            partner = predicted_cells[int(overlap.predicted[pair])]
            yield ("hit", round(float(overlap.iou[pair]), 4), threshold, *cell, *partner)
    for index, cell in enumerate(predicted_cells):
        if index not in matched:
            yield ("spurious", "", threshold, *_NONE, *cell)


def _described(masks: CellMasks, as_labels: bool) -> tuple[CellMasks, list[Cell]]:
    """Give the cells that are matched, and their numbers, areas and centres."""
    numbers = np.arange(1, len(masks) + 1)
    if as_labels:
        labels = flatten(masks)
        numbers = np.flatnonzero(np.bincount(labels.ravel())[1:]) + 1
        masks = labels_to_masks(labels)
    centers = np.round(_centers(masks), 2)
    areas = masks.areas.tolist()
    cells = zip(numbers.tolist(), areas, *centers.tolist(), strict=True)
    return masks, list(cells)


def _centers(masks: CellMasks) -> NDArray[np.float64]:
    """Give the mean (y, x) of the pixels of each cell, (2, N)."""
    ends = np.cumsum(masks.lengths, dtype=np.int64)
    pixels = np.arange(int(masks.lengths.sum()))
    pixels += np.repeat(masks.starts - (ends - masks.lengths), masks.lengths)
    owner = np.repeat(np.arange(len(masks)), masks.areas)
    sums = [np.bincount(owner, place, len(masks)) for place in np.divmod(pixels, masks.shape[1])]
    return np.array(sums) / masks.areas
