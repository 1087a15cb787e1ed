"""Cutting an image into overlapping tiles, and averaging tiles: Cellpose's grid and taper."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.network.devices import send

DIVISOR = 16
"""Images are padded to multiples of this, as in Cellpose; the largest network that is allowed
halves its input four times (`config.network.MOST_LEVELS`)."""

TAPER_WIDTH, TAPER_EDGE, TAPER_SIDE = 7.5, 20, 224
"""Sigmoid taper: its width and its distance from the edge, pixels, and the side of the tile that it
is defined for; smaller tiles use its middle (Cellpose, transforms._taper_mask)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Positions of the tiles of one padded image.

    Parameters
    ----------
    shape : (H, W)
        Of the padded image, pixels.
    tile : (h, w)
        Of every tile, pixels.
    tops, lefts : tuple of int
        First rows, and first columns, of the tiles; there is one tile for every pair.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Upper left pixel (y, x) of each tile, row by row."""
        return tuple(product(self.tops, self.lefts))


def plan_tiles(shape: tuple[int, int], tile_size: int, overlap: float) -> TileGrid:
    """Spread tiles evenly over an image so that neighbours overlap.

    Parameters
    ----------
    shape : (H, W)
        Pixels.
    tile_size : int
        Side of a tile, pixels. Along an axis where the image is smaller there is a single tile.
    overlap : float
        Share of a tile that its neighbour covers too, at least.
    """
    starts, sides, spread = [], [], 1 + 2 * overlap
    for side in shape:
        count = 1 if side <= tile_size else int(np.ceil(spread * side / tile_size))
        sides.append(min(tile_size, side))
        starts.append(tuple(np.linspace(0, side - sides[-1], count).astype(int).tolist()))
    return TileGrid(shape=shape, tile=(sides[0], sides[1]), tops=starts[0], lefts=starts[1])


def cut_tiles(
    image: torch.Tensor, grid: TileGrid, first: int = 0, last: int | None = None
) -> torch.Tensor:
    """Give the (T, C, h, w) tiles of a (C, H, W) image, from number `first` to before `last`."""
    height, width = grid.tile
    corners = grid.corners[first:last]
    return torch.stack([image[:, y : y + height, x : x + width] for y, x in corners])


class TileAverage:
    """Running average of tiles, weighted by a taper towards their edges.

    Parameters
    ----------
    grid : TileGrid
    n_channels : int
    device : torch.device

    Notes
    -----
    The average of `cut_tiles(x, grid)` is x, up to float32 rounding. Memory holds one image of
    `n_channels`, whatever the number of tiles.
    """

    def __init__(self, grid: TileGrid, n_channels: int, device: torch.device) -> None:
        self._grid = grid
        rows, columns = taper_profiles(grid.tile)
        self._taper = send(np.outer(rows, columns).astype(np.float32), device)
        self._total = torch.zeros((n_channels, *grid.shape), dtype=torch.float32, device=device)

    def restart(self) -> None:
        """Forget the tiles so far."""
        self._total.zero_()

    def add(self, tiles: torch.Tensor, first: int) -> None:
        """Add (T, C, h, w) tiles; the first is number `first` of the grid."""
        height, width = self._grid.tile
        corners = self._grid.corners[first : first + len(tiles)]
        for tile, (y, x) in zip(tiles, corners, strict=True):
            self._total[:, y : y + height, x : x + width].addcmul_(tile, self._taper)

    def mean(self) -> torch.Tensor:
        """Give the (C, H, W) average; all tiles must have been added."""
        rows, columns = taper_profiles(self._grid.tile)
        weights = (_spread(rows, self._grid.tops), _spread(columns, self._grid.lefts))
        for axis, weight in zip(((-1, 1), (1, -1)), weights, strict=True):
            self._total.div_(send(weight.astype(np.float32), self._total.device).view(axis))
        return self._total


def taper_profiles(tile: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the weights of a tile's rows and of its columns, positive everywhere.

    Notes
    -----
    The weight of a pixel is that of its row times that of its column. So the sum of the weights
    over all tiles, by which the average is divided, is such a product too.
    """
    side = max(TAPER_SIDE, *tile)
    distance = np.abs(np.arange(side) - (side - 1) / 2)
    profile = 1 / (1 + np.exp((distance - (side / 2 - TAPER_EDGE)) / TAPER_WIDTH))
    rows, columns = (profile[side // 2 - n // 2 : side // 2 + n // 2 + n % 2] for n in tile)
    return rows, columns


def padding(side: int) -> tuple[int, int]:
    """Give the pixels to add before and after: to a multiple of 16, and 8 more on each side."""
    missing = -side % DIVISOR
    return DIVISOR // 2 + missing // 2, DIVISOR // 2 + missing - missing // 2


def longest_side(n_tiles: int, tile_size: int, overlap: float) -> int:
    """Give the longest unpadded side of an image that `plan_tiles` covers with `n_tiles`.

    Examples
    --------
    >>> longest_side(1, 224, 0.1), longest_side(2, 224, 0.1)
    (208, 352)
    """
    covered = tile_size if n_tiles == 1 else int(n_tiles * tile_size / (1 + 2 * overlap))
    return (covered - DIVISOR) // DIVISOR * DIVISOR


def _spread(profile: NDArray[np.float64], starts: tuple[int, ...]) -> NDArray[np.float64]:
    """Sum the profiles of the tiles that begin at `starts`."""
    total = np.zeros(starts[-1] + len(profile))
    for start in starts:
        total[start : start + len(profile)] += profile
    return total
