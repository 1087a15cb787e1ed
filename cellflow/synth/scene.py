"""The content of one field of view before it is rendered: cells, lines and discs."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellflow.records import Shape
from cellflow.synth.raster import fill_outline
from cellflow.synth.shapes import Outline, place, reach

IMAGE_SHAPE: Shape = (520, 704)
"""Height and width of the competition's images, px."""
SMALLEST = 20
"""Cells with fewer pixels inside the image are left out."""
STEP = 1.5
"""Step in which small cells are moved away from each other until they fit, px."""
N_TRIES = 20
"""Places that are tried for a cell before it is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Appearance of a cell inside its outline.

    Parameters
    ----------
    height : float
        Phase in the middle of the cell, radians.
    rim : float
        Width over which the phase rises from the edge, px.
    texture : float
        Standard deviation of the phase inside, radians.
    """

    height: float
    rim: float
    texture: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cell:
    """One cell.

    Parameters
    ----------
    outline : (K, 2) float64
        Vertices (y, x) in the image, px; may lie outside it.
    centre : (2,) float64
        (y, x), px.
    top, left : int
        Position of the window's first pixel in the image.
    inside : (h, w) bool
        Pixels of the cell in its window, which is clipped to the image.
    area : int
        Pixels inside the image.
    look : Look
    """

    outline: Outline
    centre: NDArray[np.float64]
    top: int
    left: int
    inside: NDArray[np.bool_]
    area: int
    look: Look

    @property
    def window(self) -> tuple[slice, slice]:
        """The window as an index into the image."""
        height, width = self.inside.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(slots=True, kw_only=True, eq=False)
class Scene:
    """One field of view while it is being composed.

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
        Objects out of focus.
    owner : (H, W) int32
        0 where there is no cell, else 1 + index of the cell that was added last.
    """

    shape: Shape = IMAGE_SHAPE
    cells: list[Cell] = field(default_factory=list)
    lines: list[tuple[NDArray[np.float64], ...]] = field(default_factory=list)
    discs: list[tuple[NDArray[np.float64], ...]] = field(default_factory=list)
    blurred: list[tuple[NDArray[np.float64], ...]] = field(default_factory=list)
    owner: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.owner = np.zeros(self.shape, np.int32)

    def settle(
        self,
        rng: np.random.Generator,
        outline: Outline,
        look: Look,
        *,
        together: float,
        most_shared: float,
        margin: float = 4.0,
    ) -> bool:
        """Find a place for one cell, anywhere or beside another cell, and add it.

        Parameters
        ----------
        outline : (K, 2) float64
            Around the origin.
        together : float
            Probability that it is placed beside a random existing cell.
        most_shared : float
            Largest share of its pixels that may lie in other cells, and of any other cell's pixels
            that may lie in it.
        margin : float
            How far outside the image its centre may lie, px.

        Returns
        -------
        bool
            Whether a place was found.
        """
        for _ in range(N_TRIES):
            if self.cells and rng.random() < together:
                if self._push_up(rng, outline, look, most_shared):
                    return True
            elif self.try_cell(outline, self.anywhere(rng, margin), look, most_shared):
                return True
        return False

    def _push_up(
        self, rng: np.random.Generator, outline: Outline, look: Look, most_shared: float
    ) -> bool:
        """Place a cell as close to another as `most_shared` allows, in a random direction."""
        cell = self.cells[int(rng.integers(len(self.cells)))]
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.sin(angle), np.cos(angle)])
        farthest = reach(cell.outline - cell.centre, direction) + reach(outline, -direction)
        step = max(STEP, 0.04 * farthest)
        for distance in np.arange(0.5 * farthest, 1.2 * farthest + step, step):
            if self.try_cell(outline, cell.centre + distance * direction, look, most_shared):
                return True
        return False

    def try_cell(
        self, outline: Outline, centre: NDArray[np.float64], look: Look, most_shared: float
    ) -> bool:
        """Add a cell, unless it overlaps others too much or lies almost outside the image.

        Parameters
        ----------
        outline : (K, 2) float64
            Around the origin.
        centre : (2,) float64
            (y, x), px.
        most_shared : float
            As in `settle`.

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
        owner = self.owner[low[0] : high[0], low[1] : high[1]]
        area = int(inside.sum())
        if area < SMALLEST or self._shares_more(owner[inside], most_shared):
            return False
        owner[inside] = len(self.cells) + 1
        self.cells.append(
            Cell(
                outline=placed,
                centre=np.asarray(centre, np.float64),
                top=int(low[0]),
                left=int(low[1]),
                inside=inside,
                area=area,
                look=look,
            )
        )
        return True

    def _shares_more(self, owners: NDArray[np.int32], share: float) -> bool:
        """Tell whether the overlap exceeds `share` of the new cell, or of one beneath it."""
        taken = owners[owners > 0]
        if len(taken) > share * len(owners):
            return True
        others, n_pixels = np.unique(taken, return_counts=True)
        areas = [self.cells[other - 1].area for other in others]
        return any(shared > share * area for shared, area in zip(n_pixels, areas, strict=True))

    def anywhere(self, rng: np.random.Generator, margin: float = 4.0) -> NDArray[np.float64]:
        """Give a random place, at most `margin` px outside the image."""
        return rng.uniform(-margin, np.array(self.shape) + margin)

    def add_line(
        self, path: NDArray[np.float64], radii: tuple[float, float], heights: tuple[float, float]
    ) -> None:
        """Add a line whose radius and height change linearly from the first to the second value."""
        share = np.linspace(0, 1, len(path))
        self.lines.append(
            (
                path,
                radii[0] + share * (radii[1] - radii[0]),
                heights[0] + share * (heights[1] - heights[0]),
            )
        )
