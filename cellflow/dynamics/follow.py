"""Following of flows: where each cell pixel ends."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.dynamics.kernels import count_cell_pixels, follow_points, gather_cell_pixels
from cellflow.dynamics.traps import N_NUMBERS, list_traps
from cellflow.errors import ConfigError, LabelError
from cellflow.targets.threads import run_shares, split_evenly

POINTS_PER_SHARE = 1 << 12
"""Cell pixels per thread, at least; following fewer takes less time than starting a thread."""
PIXELS_PER_SHARE = 1 << 16
"""The same for kernels that visit each pixel once."""
NO_TRAPS = (np.zeros((0, 0), np.int32), np.zeros((1, N_NUMBERS), np.float32))
"""Result of `find_traps` without any trap."""


def follow_flows(
    flows: NDArray[Any],
    cellprob: NDArray[Any],
    *,
    cellprob_threshold: float = 0.0,
    n_steps: int = 200,
    tolerance: float = 1e-3,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Give the point at which each cell pixel ends when it follows the flows.

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
        Pixels. A walk ends early once 8 steps move the point by no more than this in each
        coordinate, because it rests or runs in a circle. With 0 a walk ends early only if the point
        is exactly where it was, which does not change the result: end points are bit for bit those
        of Cellpose 3.1.

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
    ConfigError
        `n_steps` is not a whole number above 0, or `tolerance` is below 0.

    Notes
    -----
    A pixel whose `cellprob` is NaN belongs to no cell.
    """
    check_walk(n_steps, tolerance)
    flows, cellprob = checked_field(flows, cellprob)
    field, pixels = masked_field(flows, cellprob, cellprob_threshold)
    trap_at, traps = find_traps(flows, field, pixels) if tolerance > 0 else NO_TRAPS
    ends = walk(field, pixels, trap_at, traps, n_steps=n_steps, tolerance=tolerance)
    return ends, pixels


def walk(
    field: NDArray[np.float32],
    pixels: NDArray[np.int32],
    trap_at: NDArray[np.int32],
    traps: NDArray[np.float32],
    *,
    n_steps: int,
    tolerance: float,
) -> NDArray[np.float32]:
    """Follow `pixels` in the `field` of `masked_field`.

    Parameters
    ----------
    field, pixels
        See `masked_field`.
    trap_at, traps
        See `find_traps`. A walk stops in a trap, since the pixel of its end is then certain; its
        end point is the resting point of the trap, not the point on the way there that it would
        have reached after `n_steps`.

    Returns
    -------
    (2, P) float32
    """
    ends = np.empty(pixels.shape, np.float32)
    run_shares(
        lambda part: follow_points(
            field,
            n_steps,
            np.float32(tolerance),
            trap_at,
            traps,
            pixels,
            part.start,
            part.stop,
            ends,
        ),
        split_evenly(pixels.shape[1], POINTS_PER_SHARE),
    )
    return ends


def find_traps(
    flows: NDArray[np.float32], field: NDArray[np.float32], pixels: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find the traps of a field.

    Parameters
    ----------
    flows : (2, H, W) float32, C-contiguous
    field, pixels
        See `masked_field`.

    Returns
    -------
    trap_at : (H, W) int32
        Number of the trap in the square between the centre of this pixel and those of the pixels
        below and right; 0 = none.
    traps : (K + 1, 7) float32
        See `list_traps`. Row 0 is all 0 and means no trap.
    """
    height, width = flows.shape[1:]
    if height < 2 or width < 2:
        return NO_TRAPS
    rounding = float(np.spacing(np.float32(max(height, width))))
    parts = _whole_rows(pixels)
    found: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}

    def list_part(part: slice) -> None:
        found[part.start] = list_traps(flows, field, pixels, part.start, part.stop, rounding)

    run_shares(list_part, parts)
    squares = np.concatenate([np.zeros((0, 2), np.int64), *(found[p.start][0] for p in parts)])
    traps = np.concatenate([NO_TRAPS[1], *(found[p.start][1] for p in parts)])
    trap_at = np.zeros((height, width), np.int32)
    trap_at[squares[:, 0], squares[:, 1]] = np.arange(1, len(traps))
    return trap_at, traps


def _whole_rows(pixels: NDArray[np.int32]) -> list[slice]:
    """Split cell pixels into one range per thread; each range begins with a new row."""
    n_pixels = pixels.shape[1]
    starts = [part.start for part in split_evenly(n_pixels, PIXELS_PER_SHARE)]
    starts = [int(np.searchsorted(pixels[0], pixels[0, start])) for start in starts]
    return [slice(a, b) for a, b in pairwise([*starts, n_pixels]) if b > a]


def check_walk(n_steps: float, tolerance: float) -> None:
    """Refuse steps along the flows that cannot be counted, and a tolerance below 0.

    Raises
    ------
    ConfigError
        `n_steps` is not a whole number above 0, or `tolerance` is no number from 0 on.
    """
    if not (n_steps >= 1 and n_steps % 1 == 0):  # also false for NaN
        raise ConfigError(f"n_steps: expected a whole number above 0, found {n_steps}")
    if not tolerance >= 0:
        raise ConfigError(f"tolerance: expected 0 or more pixels, found {tolerance}")


def checked_field(
    flows: NDArray[Any], cellprob: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give both arrays as C-contiguous float32.

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


def checked_labels(
    labels: NDArray[Any], cellprob: NDArray[Any]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give a copy of the labels as int32 and the logits as float32, both C-contiguous.

    Raises
    ------
    LabelError
        The shapes do not fit.
    """
    if labels.ndim != 2 or labels.shape != cellprob.shape:
        raise LabelError(
            f"expected labels and cellprob (H, W), found shapes {labels.shape} and {cellprob.shape}"
        )
    return labels.astype(np.int32, order="C"), np.ascontiguousarray(cellprob, np.float32)


def masked_field(
    flows: NDArray[np.float32], cellprob: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Interleave the flows, with 0 outside cells, and list the cell pixels.

    Returns
    -------
    field : (H + 1, W + 1, 2) float32
        (dy, dx) of each pixel, with an extra row and column of zeros, so that points on the border
        have four neighbours too.
    pixels : (2, P) int32
        Row and column, in raster order.
    """
    height, width = cellprob.shape
    rows = split_evenly(height, max(1, PIXELS_PER_SHARE // max(1, width)))
    limit, counts = np.float32(threshold), np.empty(height, np.int64)
    run_shares(lambda part: count_cell_pixels(cellprob[part], limit, counts[part]), rows)
    starts = np.concatenate([[0], np.cumsum(counts)])
    field = np.zeros((height + 1, width + 1, 2), np.float32)
    pixels = np.empty((2, starts[-1]), np.int32)
    n_bad = []

    def gather_part(part: slice) -> None:
        first, ends = int(starts[part.start]), (part.start, part.stop)
        n_bad.append(gather_cell_pixels(flows, cellprob, limit, ends, first, field, pixels))

    run_shares(gather_part, rows)
    if sum(n_bad):
        raise LabelError(f"{sum(n_bad)} cell pixels have a flow that is NaN or infinite")
    return field, pixels
