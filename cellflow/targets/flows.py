"""Labels to `FlowTarget`, and how far given flows are from those of the labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.records import FlowTarget
from cellflow.targets.centers import CellBoxes, find_boxes
from cellflow.targets.diffusion import write_cell_errors, write_cell_flows
from cellflow.targets.threads import n_threads, run_shares, share_by_cost


def labels_to_flows(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Give the flows that a perfect network would predict for these cells.

    Heat spreads from each cell's centre (its pixel nearest the mean of its pixels) through the cell
    only; the flow climbs the heat. The same as Cellpose 3.1 on the CPU.

    Parameters
    ----------
    labels : (H, W) integer or bool
        0 background. Gaps between labels are allowed; any memory layout.

    Returns
    -------
    (2, H, W) float32
        Unit vectors (dy, dx) towards the cell's centre along paths inside the cell; 0 outside
        cells. Network targets are these times the flow scale.

    Raises
    ------
    LabelError
        The array is not 2-D, not of integers, or holds a negative label.

    Notes
    -----
    - A one-pixel cell and the centre of a symmetric cell have flow 0.
    - The image's border is like background: nothing spreads across it.
    - A label in several pieces is one cell, as in Cellpose: its centre lies in one piece; pieces
      that do not touch that one, even diagonally, get flow 0.
    - Heat falls by about 8 a pixel along a line one pixel thin. More than some 65 pixels away from
      the centre of such a line, the flow is shorter than 1 and soon 0, as in Cellpose.

    Cost: ``2 (h + w + 4)`` steps over the bounding box of each cell.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array([[0, 1, 1, 1], [0, 0, 2, 0]])
    >>> labels_to_flows(labels)[1].astype(int)
    array([[ 0,  1,  0, -1],
           [ 0,  0,  0,  0]])
    """
    cells = find_boxes(labels)
    flows = np.zeros((2, *cells.labels.shape), np.float32)
    run_shares(
        lambda share: write_cell_flows(cells.labels, cells.values, cells.boxes, share, flows),
        _shares(cells, np.arange(len(cells.values))),
    )
    return flows


def labels_to_target(labels: NDArray[Any]) -> FlowTarget:
    """Give flows and cell pixels of a label image; see `labels_to_flows`."""
    return FlowTarget(flows=labels_to_flows(labels), cells=np.asarray(labels) > 0)


def cell_flow_errors(
    cells: CellBoxes, flows: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give how far `flows` are from the flows that each chosen cell would have.

    Parameters
    ----------
    cells : CellBoxes
    flows : (2, H, W) float32, C-contiguous
        Pixels per step (dy, dx).
    chosen : (N,) bool

    Returns
    -------
    (N,) float64
        Mean over the cell's pixels of the squared length of the difference: 0 for perfect flows,
        about 1 for no flow at all, 4 for opposite ones. NaN for cells that are not chosen.
    """
    errors = np.full(len(cells.values), np.nan)
    run_shares(
        lambda share: write_cell_errors(
            cells.labels, cells.values, cells.boxes, share, flows, errors
        ),
        _shares(cells, np.flatnonzero(chosen)),
    )
    return errors


def _shares(cells: CellBoxes, chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    boxes = cells.boxes[chosen]
    height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    costs = (height + 2) * (width + 1) * (height + width + 4)
    return [chosen[share] for share in share_by_cost(costs, n_threads())]
