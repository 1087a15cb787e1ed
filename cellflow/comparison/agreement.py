"""Which true cells are found by both, one or neither of two methods, and what both could reach."""

from collections.abc import Sequence

import numpy as np

from cellflow.comparison.result import FoundBy, Oracle
from cellflow.metrics.by_type import indices_by_type
from cellflow.metrics.found_cells import FoundCells
from cellflow.metrics.matching import PERCENT
from cellflow.metrics.score import Score

AT_PERCENT = (50, 75)
"""IoU thresholds in percent at which found cells are counted."""

Images = Sequence[FoundCells]


def count_found(
    first: Images, second: Images, cell_types: Sequence[str | None]
) -> dict[str, tuple[FoundBy, ...]]:
    """Count the true cells that both, one or neither of two methods finds.

    Parameters
    ----------
    first, second : sequence of N FoundCells
        Of the same images.
    cell_types : sequence of N str or None

    Returns
    -------
    dict of cell type to tuple of FoundBy
        One for each of `AT_PERCENT`; the key "all" is for all cells.
    """
    chosen = {"all": list(range(len(first)))} | indices_by_type(cell_types)
    return {
        kind: tuple(_count(first, second, images, percent) for percent in AT_PERCENT)
        for kind, images in chosen.items()
    }


def oracle(first: Score, second: Score, found: Images, also_found: Images) -> Oracle:
    """Give the scores that an oracle, which knows the truth, reaches with two methods.

    Parameters
    ----------
    first, second : Score
        Of the same images.
    found, also_found : sequence of FoundCells
        Of the first and of the second method.
    """
    per_image = np.maximum(first.image_scores, second.image_scores).mean()
    recalls = []
    for a, b in zip(found, also_found, strict=True):
        if a.found.shape[1]:
            recalls.append(float((a.found | b.found).mean()))
        else:
            # Without true cells the oracle drops all predictions, which scores 1.
            recalls.append(1.0)
    return Oracle(per_image=float(per_image), per_cell=float(np.mean(recalls)))


def _count(first: Images, second: Images, images: Sequence[int], percent: int) -> FoundBy:
    row = int(np.flatnonzero(percent == PERCENT)[0])
    by_first, by_second = (
        np.concatenate([np.zeros(0, bool), *(side[image].found[row] for image in images)])
        for side in (first, second)
    )
    return FoundBy(
        iou=percent / 100,
        both=int((by_first & by_second).sum()),
        only_first=int((by_first & ~by_second).sum()),
        only_second=int((~by_first & by_second).sum()),
        neither=int((~by_first & ~by_second).sum()),
    )
