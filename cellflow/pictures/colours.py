"""Colours of cells: safe for colour-blind readers, and different for neighbours."""

import numpy as np
from numpy.typing import NDArray

from cellflow.data.flatten import flatten
from cellflow.metrics.matching import passing_pairs
from cellflow.metrics.overlap import find_overlap
from cellflow.records import CellMasks

PALETTE: NDArray[np.uint8] = np.array(
    [
        (255, 176, 0),  # amber
        (86, 180, 233),  # sky blue
        (255, 97, 64),  # vermilion
        (0, 200, 150),  # bluish green
        (240, 228, 66),  # yellow
        (230, 130, 200),  # reddish purple
        (120, 140, 255),  # blue
    ],
    np.uint8,
)
"""After Okabe and Ito (2008), brightened, since outlines lie on a grey image. No black or white,
which would look like debris and halos."""

HIT: NDArray[np.uint8] = np.array((86, 180, 233), np.uint8)
"""Sky blue: a truth with a prediction, or a prediction with a truth."""
MISSED: NDArray[np.uint8] = np.array((255, 176, 0), np.uint8)
"""Amber: a truth without prediction."""
SPURIOUS: NDArray[np.uint8] = np.array((255, 97, 64), np.uint8)
"""Vermilion: a prediction without truth."""

REACH = 3
"""Cells at most this far apart are neighbours, pixels: their outlines could be mistaken for one."""


def colour_cells(masks: CellMasks) -> NDArray[np.uint8]:
    """Give each cell a colour that its neighbours do not have.

    Parameters
    ----------
    masks : CellMasks
        N cells; they may overlap.

    Returns
    -------
    (N, 3) uint8
        Rows of `PALETTE`.

    Notes
    -----
    Greedy graph colouring: cells with the most neighbours first, ties by index; each takes the free
    colour that was used least so far. If its neighbours use all colours (many masks on top of each
    other), it takes the colour that the fewest of them have.
    """
    neighbours: list[list[int]] = [[] for _ in range(len(masks))]
    for first, second in _neighbour_pairs(masks):
        neighbours[first].append(second)
        neighbours[second].append(first)
    chosen = np.full(len(masks), -1)
    n_used = np.zeros(len(PALETTE), np.int64)
    for cell in sorted(range(len(masks)), key=lambda cell: (-len(neighbours[cell]), cell)):
        taken = chosen[neighbours[cell]]
        n_taken = np.bincount(taken[taken >= 0], minlength=len(PALETTE))
        chosen[cell] = np.lexsort((n_used, n_taken))[0]
        n_used[chosen[cell]] += 1
    colours: NDArray[np.uint8] = PALETTE[chosen]
    return colours


def colour_matches(
    truth: CellMasks, predicted: CellMasks
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colour hits (IoU above 0.5), missed truths and spurious predictions.

    Parameters
    ----------
    truth, predicted : CellMasks

    Returns
    -------
    truth_colours : (N, 3) uint8
        `HIT` or `MISSED`.
    predicted_colours : (M, 3) uint8
        `HIT` or `SPURIOUS`.

    Notes
    -----
    A cell is a hit if its IoU with any cell of the other side is above 0.5. With overlapping truth,
    the one-to-one matching of the score may count fewer hits.
    """
    overlap = find_overlap(truth, predicted)
    passing = passing_pairs(overlap, 50)
    truth_colours = np.tile(MISSED, (len(truth), 1))
    predicted_colours = np.tile(SPURIOUS, (len(predicted), 1))
    truth_colours[overlap.truth[passing]] = HIT
    predicted_colours[overlap.predicted[passing]] = HIT
    return truth_colours, predicted_colours


def _neighbour_pairs(masks: CellMasks) -> list[tuple[int, int]]:
    """Give the pairs (i, j), i < j, of cells that share pixels or are at most `REACH` apart."""
    overlap = find_overlap(masks, masks)
    pairs = [np.stack([overlap.truth, overlap.predicted], axis=1)]
    labels = flatten(masks)
    pairs += [
        _pairs_at(labels, dy * step, dx * step)
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))
        for step in range(1, REACH + 1)
    ]
    found = np.concatenate(pairs)
    found = np.sort(found[found[:, 0] != found[:, 1]], axis=1)
    return [(int(first), int(second)) for first, second in np.unique(found, axis=0)]


def _pairs_at(labels: NDArray[np.int32], dy: int, dx: int) -> NDArray[np.int64]:
    """Give the pairs of cells (label - 1) with pixels that are (dy, dx) apart, dy >= 0."""
    height, width = labels.shape
    here = labels[: max(height - dy, 0), max(-dx, 0) : width - max(dx, 0)]
    there = labels[dy:, max(dx, 0) : width + min(dx, 0)]
    meeting = (here != there) & (here > 0) & (there > 0)
    pairs: NDArray[np.int64] = np.stack([here[meeting], there[meeting]], 1).astype(np.int64) - 1
    return pairs
