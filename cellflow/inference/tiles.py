"""An image as overlapping tiles, and tiles averaged back: Cellpose's grid and taper."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

DIVISOR = 16
"""The network halves its input three times; Cellpose pads to multiples of 16."""

TAPER_WIDTH, TAPER_EDGE, TAPER_SIDE = 7.5, 20, 224
"""Sigmoid taper: its width and distance from the edge in pixels, and the side that it is defined
for; smaller tiles take its middle (Cellpose, transforms._taper_mask)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Where the tiles of one padded image lie.

    Parameters
    ----------
    shape : (H, W)
        Of the padded image, pixels.
    tile : (h, w)
        Of every tile, pixels.
    corners : tuple of (y, x)
        Upper left pixel of each tile, row by row.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    corners: tuple[tuple[int, int], ...]


def plan_tiles(shape: tuple[int, int], tile_size: int, overlap: float) -> TileGrid:
    """Spread tiles evenly over an image so that neighbours overlap.

    Parameters
    ----------
    shape : (H, W)
        Pixels.
    tile_size : int
        Side of a tile, pixels; an image that is smaller in an axis is one tile there.
    overlap : float
        Smallest share of a tile that its neighbour covers too; at least 0.05 is taken.
    """
    overlap = min(0.5, max(0.05, overlap))
    starts, sides = [], []
    for side in shape:
        count = 1 if side <= tile_size else int(np.ceil((1 + 2 * overlap) * side / tile_size))
        sides.append(min(tile_size, side))
        starts.append(np.linspace(0, side - sides[-1], count).astype(int).tolist())
    corners = tuple((y, x) for y in starts[0] for x in starts[1])
    return TileGrid(shape=shape, tile=(sides[0], sides[1]), corners=corners)


def cut_tiles(image: torch.Tensor, grid: TileGrid) -> torch.Tensor:
    """Give the (T, C, h, w) tiles of a (C, H, W) image."""
    height, width = grid.tile
    return torch.stack([image[:, y : y + height, x : x + width] for y, x in grid.corners])


def join_tiles(tiles: torch.Tensor, grid: TileGrid) -> torch.Tensor:
    """Average (T, C, h, w) tiles into a (C, H, W) image, tapered towards the tiles' edges.

    Notes
    -----
    `join_tiles(cut_tiles(x, grid), grid)` is x, up to float32 rounding.
    """
    height, width = grid.tile
    taper = torch.from_numpy(taper_mask(grid.tile)).to(tiles)
    total = tiles.new_zeros((tiles.shape[1], *grid.shape))
    weight = tiles.new_zeros(grid.shape)
    for tile, (y, x) in zip(tiles, grid.corners, strict=True):
        total[:, y : y + height, x : x + width] += tile * taper
        weight[y : y + height, x : x + width] += taper
    return total / weight


def taper_mask(tile: tuple[int, int]) -> NDArray[np.float32]:
    """Give the (h, w) float32 weights of a tile's pixels, positive everywhere."""
    side = max(TAPER_SIDE, *tile)
    distance = np.abs(np.arange(side) - (side - 1) / 2)
    profile = 1 / (1 + np.exp((distance - (side / 2 - TAPER_EDGE)) / TAPER_WIDTH))
    rows, columns = (profile[side // 2 - n // 2 : side // 2 + n // 2 + n % 2] for n in tile)
    mask: NDArray[np.float32] = np.outer(rows, columns).astype(np.float32)
    return mask


def padding(side: int) -> tuple[int, int]:
    """Give the pixels to add before and after: to a multiple of 16, and 8 more on each side."""
    missing = -side % DIVISOR
    return DIVISOR // 2 + missing // 2, DIVISOR // 2 + missing - missing // 2
