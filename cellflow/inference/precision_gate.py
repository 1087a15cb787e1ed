"""Whether a network may run in bfloat16: measured on one of the user's own tiles.

A well-trained network says the same in both types; one that has learnt little has small outputs,
of which rounding is a larger part (docs/log.md).
"""

import torch

from cellflow.inference.compilation import Forward

LEAST_CORRELATION = 0.999
"""Of each output in bfloat16 with that in float32."""


def least_correlation(exact: Forward, rounded: Forward, tile: torch.Tensor) -> float:
    """Compare two versions of a network on one tile.

    Parameters
    ----------
    exact, rounded : callable
        As `plain_forward` gives them.
    tile : (1, 2, h, w) float32
        On their device, channels last.

    Returns
    -------
    float
        The smallest Pearson correlation over the three outputs; 0 where one is constant or not
        finite.

    Notes
    -----
    Costs a pass of one tile in each type.
    """
    (one, _), (other, _) = exact(tile), rounded(tile)
    a, b = (_centred(output[0].double().flatten(1)) for output in (one, other))
    correlations = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))
    return float(torch.nan_to_num(correlations, nan=0.0).min())


def _centred(rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


def richest_tile(tiles: torch.Tensor) -> torch.Tensor:
    """Give of (T, C, h, w) tiles the one whose grey levels vary most, as (1, C, h, w)."""
    return tiles[tiles.flatten(1).std(dim=1).argmax()][None]
