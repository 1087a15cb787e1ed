"""Whether a network may run in 16 bits: measured on a tile of the user's own images.

A well-trained network gives nearly the same output in bfloat16 and float32. One that has learnt
little has small outputs, so rounding errors are relatively larger (docs/log.md). float16 rounds
less, but ends at 65,504.
"""

import torch

from cellflow.inference.compilation import Forward

LEAST_CORRELATION = 0.999
"""Required Pearson correlation of each output in 16 bits with that in float32."""


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
        The smallest Pearson correlation over the three outputs; an output that is constant or not
        finite counts as 0.

    Notes
    -----
    Cost: one pass of the tile through each version.
    """
    (one, _), (other, _) = exact(tile), rounded(tile)
    a, b = (_centred(output[0].double().flatten(1)) for output in (one, other))
    correlations = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))
    return float(torch.nan_to_num(correlations, nan=0.0).min())


def _centred(rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


def richest_tile(tiles: torch.Tensor) -> torch.Tensor:
    """Pick from (T, C, h, w) tiles the one whose grey levels vary most, as (1, C, h, w)."""
    return tiles[tiles.flatten(1).std(dim=1).argmax()][None]
