"""Flows and cell probability in; where every cell pixel ends, out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.dynamics.kernels import follow_points, gather_field, list_pixels
from cellflow.errors import LabelError
from cellflow.targets.threads import n_threads, run_shares

POINTS_PER_SHARE = 1 << 12
"""Pixels below which another thread costs more than it saves."""


def follow_flows(
    flows: NDArray[Any],
    cellprob: NDArray[Any],
    *,
    cellprob_threshold: float = 0.0,
    n_steps: int = 200,
    tolerance: float = 1e-3,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Give where each cell pixel ends when it walks along the flows.

    Parameters
    ----------
    flows : (2, H, W) float32
        Pixels per step (dy, dx): network output divided by the flow scale. Other dtypes and
        layouts are converted, so float64 is rounded.
    cellprob : (H, W) float32
        Logit. Other dtypes are converted.
    cellprob_threshold : float
        Logit above which a pixel belongs to a cell. Elsewhere the flow counts as 0.
    n_steps : int
        Steps of at most ``|flow|`` pixels each.
    tolerance : float
        Pixels. A walk ends early once 8 steps have moved the pixel by less, in each coordinate,
        either since it stands or since it goes in a circle. 0 = only when it is exactly back, which
        changes nothing: the ends are bit for bit Cellpose 3.1's.

    Returns
    -------
    end_points : (2, P) float32
        Row and column, inside the image.
    pixels : (2, P) int32
        Row and column of the cell pixels, in raster order.

    Raises
    ------
    LabelError
        The shapes do not fit, or a cell pixel's flow is not finite.

    Notes
    -----
    A pixel whose `cellprob` is NaN belongs to no cell.
    """
    flows, cellprob = checked_field(flows, cellprob)
    field, pixels = masked_field(flows, cellprob, cellprob_threshold)
    ends = np.empty(pixels.shape, np.float32)
    n_points = pixels.shape[1]
    n_shares = max(1, min(n_threads(), n_points // POINTS_PER_SHARE))
    limits = np.linspace(0, n_points, n_shares + 1).astype(int)
    run_shares(
        lambda part: follow_points(
            field, n_steps, np.float32(tolerance), pixels[:, part], ends[:, part]
        ),
        [slice(*pair) for pair in zip(limits, limits[1:], strict=False)],
    )
    return ends, pixels


def checked_field(
    flows: NDArray[Any], cellprob: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give both as C-contiguous float32.

    Raises
    ------
    LabelError
        The shapes do not fit.
    """
    flows = np.ascontiguousarray(flows, np.float32)
    cellprob = np.ascontiguousarray(cellprob, np.float32)
    if cellprob.ndim != 2 or flows.shape != (2, *cellprob.shape):
        raise LabelError(
            f"expected flows (2, H, W) and cellprob (H, W), "
            f"found shapes {flows.shape} and {cellprob.shape}"
        )
    return flows, cellprob


def masked_field(
    flows: NDArray[np.float32], cellprob: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Give the interleaved flows, 0 outside cells, and the cell pixels.

    Returns
    -------
    field : (H + 1, W + 1, 2) float32
        With a row and a column of zeros, so that a point on the border has four neighbours.
    pixels : (2, P) int32
    """
    height, width = cellprob.shape
    field = np.zeros((height + 1, width + 1, 2), np.float32)
    counts = np.zeros((height, 2), np.int64)
    n_shares = max(1, min(n_threads(), cellprob.size // POINTS_PER_SHARE))
    limits = np.linspace(0, height, n_shares + 1).astype(int)
    rows = [slice(*pair) for pair in zip(limits, limits[1:], strict=False)]
    run_shares(
        lambda part: gather_field(flows, cellprob, threshold, part.start, field, counts[part]),
        rows,
    )
    n_bad = int(counts[:, 1].sum())
    if n_bad:
        raise LabelError(f"{n_bad} cell pixels have a flow that is NaN or infinite")
    starts = np.concatenate([[0], np.cumsum(counts[:, 0])])
    pixels = np.empty((2, starts[-1]), np.int32)
    run_shares(
        lambda part: list_pixels(
            cellprob,
            threshold,
            part.start,
            part.stop - part.start,
            pixels[:, starts[part.start] : starts[part.stop]],
        ),
        rows,
    )
    return field, pixels
