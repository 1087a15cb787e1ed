"""What lies in one field of view before it is pictured: cells, lines and discs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellflow.records import Shape
from cellflow.synth.raster import fill_outline
from cellflow.synth.shapes import Outline, place, reach

IMAGE_SHAPE: Shape = (520, 704)
"""Height and width of the competition's images, px."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cell:
    """One cell.

    Parameters
    ----------
    outline : (K, 2) float64
        Vertices (y, x) in the image, px; may leave it.
    centre : (2,) float64
        (y, x), px.
    top, left : int
        Image position of the window's first pixel.
    inside : (h, w) bool
        The window, clipped to the image.
    height : float
        Phase in the cell's middle, radians.
    rim : float
        Width over which the phase rises from the edge, px.
    texture : float
        Spread of the phase inside, radians.
    """

    outline: Outline
    centre: NDArray[np.float64]
    top: int
    left: int
    inside: NDArray[np.bool_]
    height: float
    rim: float
    texture: float

    @property
    def window(self) -> tuple[slice, slice]:
        """The window as an index into the image."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(slots=True, kw_only=True, eq=False)
class Scene:
    """One field of view while it is composed.

    Parameters
    ----------
    shape : (H, W)
        px.
    cells : list of Cell
    lines : list of (points (P, 2), radii (P,), heights (P,))
        Neurites: vertices (y, x) and radii in px, phase in radians.
    discs : list of (centres (D, 2), radii (D,), heights (D,))
        Debris, dead cells and granules in focus.
    blurred : list of the same
        Out of focus.
    cover : (H, W) uint8
        How many cells lie over each pixel.
    """

    shape: Shape = IMAGE_SHAPE
    cells: list[Cell] = field(default_factory=list)
    lines: list[tuple[NDArray[np.float64], ...]] = field(default_factory=list)
    discs: list[tuple[NDArray[np.float64], ...]] = field(default_factory=list)
    blurred: list[tuple[NDArray[np.float64], ...]] = field(default_factory=list)
    cover: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.cover = np.zeros(self.shape, np.uint8)

    def try_cell(
        self,
        outline: Outline,
        centre: NDArray[np.float64],
        *,
        height: float,
        rim: float,
        texture: float,
        most_covered: float,
    ) -> bool:
        """Add a cell unless too much of it lies over others, or nearly all outside the image.

        Parameters
        ----------
        outline : (K, 2) float64
            Around the origin.
        centre : (2,) float64
            (y, x), px.
        most_covered : float
            Largest share of its pixels over other cells.

        Returns
        -------
        bool
            Whether it was added.
        """
        placed = place(outline, centre)
        low = np.maximum(np.floor(placed.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(placed.max(axis=0)).astype(int) + 1, self.shape)
        if (high - low < 4).any():
            return False
        inside = fill_outline(placed, low[0], low[1], (high[0] - low[0], high[1] - low[1]))
        n_pixels = int(inside.sum())
        cover = self.cover[low[0] : high[0], low[1] : high[1]]
        if n_pixels < 20 or (cover[inside] > 0).mean() > most_covered:
            return False
        cover += inside
        cell = Cell(
            outline=placed,
            centre=np.asarray(centre, np.float64),
            top=int(low[0]),
            left=int(low[1]),
            inside=inside,
            height=height,
            rim=rim,
            texture=texture,
        )
        self.cells.append(cell)
        return True

    def beside(
        self, rng: np.random.Generator, outline: Outline, closeness: tuple[float, float]
    ) -> NDArray[np.float64]:
        """Give a centre at which `outline` about touches a random cell that is there already.

        Parameters
        ----------
        closeness : (low, high)
            Distance as a share of that at which the two just touch.
        """
        cell = self.cells[int(rng.integers(len(self.cells)))]
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        gap = reach(cell.outline - cell.centre, direction) + reach(outline, -direction)
        centre: NDArray[np.float64] = cell.centre + direction * gap * rng.uniform(*closeness)
        return centre

    def anywhere(self, rng: np.random.Generator, margin: float = 4.0) -> NDArray[np.float64]:
        """Give a random place, at most `margin` px outside the image."""
        return rng.uniform(-margin, np.array(self.shape) + margin)

    def add_line(
        self, path: NDArray[np.float64], radii: tuple[float, float], heights: tuple[float, float]
    ) -> None:
        """Add a line that tapers from the first to the second of `radii` and `heights`."""
        share = np.linspace(0, 1, len(path))
        self.lines.append(
            (
                path,
                radii[0] + share * (radii[1] - radii[0]),
                heights[0] + share * (heights[1] - heights[0]),
            )
        )
