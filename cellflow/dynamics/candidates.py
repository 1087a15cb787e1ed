"""All cells that some thresholds would keep, with the numbers that thresholds are compared with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.dynamics.cell_features import CellFeatures, cell_features
from cellflow.dynamics.cleanup import fill_holes, keep_cells
from cellflow.dynamics.follow import checked_field
from cellflow.dynamics.segment import gather_cells
from cellflow.records import FlowField
from cellflow.targets.flows import cell_flow_errors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidateCells:
    """The cells of one image at one `cellprob_threshold`; only the smallest are dropped.

    Those of at least `min_size` with a flow error of at most `flow_threshold` are the cells of
    `flows_to_labels`. The one exception is a cell in a hole of a dropped cell: it is missing here,
    since the hole has already been filled.

    Parameters
    ----------
    labels : (H, W) int32
        Cells 1…N without gaps.
    flow_errors : (N,) float64
        Before holes are filled, as in the flow check.
    sizes : (N,) int64
        Pixels before or after holes are filled, whichever is less.
    features : CellFeatures
        After holes are filled.
    """

    labels: NDArray[np.int32]
    flow_errors: NDArray[np.float64]
    sizes: NDArray[np.int64]
    features: CellFeatures


def find_candidates(
    field: FlowField,
    *,
    cellprob_threshold: float,
    min_size: int,
    n_steps: int,
    tolerance: float,
) -> CandidateCells:
    """Find the cells for all flow thresholds and minimum sizes; the flows are followed once.

    Parameters
    ----------
    field : FlowField
    cellprob_threshold, n_steps, tolerance
        See `flows_to_labels`.
    min_size : int
        The smallest that will be used, pixels.

    Raises
    ------
    LabelError
        A cell pixel's flow is not finite.
    """
    flows, cellprob = checked_field(field.flows, field.cellprob)
    cells = gather_cells(flows, cellprob, cellprob_threshold, n_steps=n_steps, tolerance=tolerance)
    cells = keep_cells(cells, cells.areas >= max(1, min_size))
    errors = cell_flow_errors(cells, flows, np.ones(len(cells.values), np.bool_))
    before, boxes = cells.areas.copy(), cells.boxes
    fill_holes(cells.labels, boxes, np.flatnonzero(cells.n_gaps), cells.areas)
    left = cells.areas >= max(1, min_size)
    # `renumber` could change the order.
    cells = keep_cells(cells, left)
    return CandidateCells(
        labels=cells.labels,
        flow_errors=errors[left],
        sizes=np.minimum(before[left], cells.areas),
        features=cell_features(cells.labels, flows, cellprob, field.spread),
    )
