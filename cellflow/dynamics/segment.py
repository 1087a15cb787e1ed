"""From flow field to labels: the public functions of this room."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.dynamics.cleanup import drop_bad_cells
from cellflow.dynamics.follow import (
    check_walk,
    checked_field,
    find_traps,
    follow_flows,
    masked_field,
    walk,
)
from cellflow.dynamics.sinks import gather_in_sinks
from cellflow.targets.centers import CellBoxes

__all__ = ["flows_to_labels", "follow_flows"]


def flows_to_labels(
    flows: NDArray[Any],
    cellprob: NDArray[Any],
    *,
    cellprob_threshold: float = 0.0,
    flow_threshold: float = 0.4,
    min_size: int = 15,
    n_steps: int = 200,
    tolerance: float = 1e-3,
) -> NDArray[np.int32]:
    """Give the cells that a flow field describes.

    Each cell pixel follows the flows; pixels that end in the same place form a cell. Cells whose
    flows do not fit their shape are dropped, holes are filled, small cells are dropped.

    Parameters
    ----------
    flows : (2, H, W) float32
        Pixels per step (dy, dx), about 1 long: what a network gives, or Cellpose's `eval`, divided
        by 5, the flow scale. Other dtypes and layouts are converted, so float64 is rounded.
    cellprob : (H, W) float32
        Logit. Other dtypes are converted.
    cellprob_threshold : float
        Logit above which a pixel may belong to a cell.
    flow_threshold : float
        Largest mean squared flow error of a cell that is kept; 0 = no check.
    min_size : int
        Pixels of the smallest cell that is kept.
    n_steps : int
        Steps along the flow.
    tolerance : float
        Pixels; see `follow_flows`. With 0 the cells are those of Cellpose 3.1, except for the valid
        cells that it loses when it removes small ones, and for details that are arbitrary: which of
        equal peaks wins, and the flow at the centre of a symmetric cell.

    Returns
    -------
    (H, W) int32
        0 background, cells 1…N without gaps, by their first pixel in raster order.

    Raises
    ------
    LabelError
        The shapes do not fit, or a cell pixel's flow is not finite.
    ConfigError
        `n_steps` is not a whole number above 0, or `tolerance` is below 0.

    Notes
    -----
    A cell that covers more than 0.4 of the image is dropped, as in Cellpose. The result does not
    depend on the number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> from cellflow import labels_to_flows
    >>> labels = np.zeros((7, 12), int)
    >>> labels[1:6, 1:6], labels[1:6, 6:11] = 1, 2
    >>> found = flows_to_labels(labels_to_flows(labels), np.where(labels > 0, 5.0, -5.0))
    >>> bool((found == labels).all())
    True
    """
    check_walk(n_steps, tolerance)
    flows, cellprob = checked_field(flows, cellprob)
    cells = gather_cells(flows, cellprob, cellprob_threshold, n_steps=n_steps, tolerance=tolerance)
    return drop_bad_cells(cells, flows, flow_threshold=flow_threshold, min_size=min_size)


def gather_cells(
    flows: NDArray[np.float32],
    cellprob: NDArray[np.float32],
    cellprob_threshold: float,
    *,
    n_steps: int,
    tolerance: float,
) -> CellBoxes:
    """Follow the flows and gather pixels into cells, without any check of the cells.

    Parameters and Raises are those of `flows_to_labels`, but arrays must come from `checked_field`.
    """
    field, pixels = masked_field(flows, cellprob, cellprob_threshold)
    trap_at, traps = find_traps(flows, field, pixels)
    ends = walk(field, pixels, trap_at, traps, n_steps=n_steps, tolerance=tolerance)
    return gather_in_sinks(ends, pixels, (cellprob.shape[0], cellprob.shape[1]))
