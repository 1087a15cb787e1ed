"""Four fields of different images in one crop, with seams that cells end at.

A seam is treated like the border of an image: the visible part of a cell that it cuts gets flows
of its own, towards its own centre, as if only that part were annotated. No flow crosses a seam.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from cellflow.targets.flows import labels_to_flows
from cellflow.training.augment import Crop

SMALLEST_SHARE = 0.3
"""Smallest side of a field, as a share of the crop's."""

EIGHT_NEIGHBOURS = np.ones((3, 3), int)


class Field(NamedTuple):
    """Where a field lies in the crop."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Its size (h, w), pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def draw_fields(rng: np.random.Generator, size: int) -> tuple[Field, ...]:
    """Draw where the two seams run; give the four fields in reading order."""
    shares = SMALLEST_SHARE + (1 - 2 * SMALLEST_SHARE) * rng.random(2)
    seam_y, seam_x = (round(size * share) for share in shares)
    halves_y = slice(0, seam_y), slice(seam_y, size)
    halves_x = slice(0, seam_x), slice(seam_x, size)
    return tuple(Field(rows, columns) for rows in halves_y for columns in halves_x)


def join_fields(
    fields: Sequence[Field],
    crops: Sequence[Crop],
    labels: Sequence[NDArray[np.int32]],
    size: int,
) -> Crop:
    """Join four crops into one.

    Parameters
    ----------
    fields : sequence of 4 Field
    crops : sequence of 4 Crop
        Each of its field's shape.
    labels : sequence of 4 (h, w) int32
        Of each crop, sampled as its cells were.
    size : int
        Side of the joined crop, pixels.
    """
    joined = Crop.empty(len(crops[0].image), (size, size))
    for field, crop, own in zip(fields, crops, labels, strict=True):
        _end_cells_at_seams(crop.flows, own, _along_seams(field, size))
        place = field.rows, field.columns
        joined.image[:, *place] = crop.image
        joined.flows[:, *place] = crop.flows
        joined.cells[place] = crop.cells
        joined.weights[place] = crop.weights
        joined.inside[place] = crop.inside
    return joined


def _along_seams(field: Field, size: int) -> NDArray[np.bool_]:
    """Mark the pixels of a field that touch another one."""
    touching = np.zeros(field.shape, np.bool_)
    touching[0, :] = field.rows.start > 0
    touching[-1, :] |= field.rows.stop < size
    touching[:, 0] |= field.columns.start > 0
    touching[:, -1] |= field.columns.stop < size
    return touching


def _end_cells_at_seams(
    flows: NDArray[np.float32], labels: NDArray[np.int32], touching: NDArray[np.bool_]
) -> None:
    """Give the cells that a seam cuts the flows of their visible parts, in place."""
    # Bilinear sampling leaves a trace of a cell's flow beside the cell.
    flows[:, touching & (labels == 0)] = 0
    cut = np.zeros_like(labels)
    n_parts = 0
    for value in np.unique(labels[touching & (labels > 0)]):
        parts, n_found = label(labels == value, EIGHT_NEIGHBOURS)
        cut += np.where(parts > 0, parts + n_parts, 0).astype(np.int32)
        n_parts += n_found
    if n_parts:
        flows[:, cut > 0] = labels_to_flows(cut)[:, cut > 0]
