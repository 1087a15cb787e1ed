"""Simulated annotations of a scene: hand-drawn polygons, a little off, some cells forgotten."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from cellflow.data.rle import labels_to_masks
from cellflow.records import CellMasks
from cellflow.synth.raster import fill_outline
from cellflow.synth.scene import Cell, Scene
from cellflow.synth.shapes import GRAIN, Outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """How carefully one kind of cell is drawn.

    Parameters
    ----------
    spacing : float
        Distance between clicks along the outline, px.
    shake : float
        Standard deviation of the clicks around the outline, px.
    margin : float
        How far outside the edge clicks lie on average, px.
    margin_spread : float
        Standard deviation of the margin between cells, px.
    forgotten : float
        Share of the cells that are not drawn.
    holed : float
        Share of the masks with holes, an artefact of the competition's polygon filling.
    smallest : int
        Smallest mask that is kept, pixels.
    """

    spacing: float
    shake: float
    margin: float
    margin_spread: float
    forgotten: float
    holed: float
    smallest: int = 33


HANDS = {
    "cort": Hand(
        spacing=4.0, shake=0.35, margin=0.3, margin_spread=0.35, forgotten=0.05, holed=0.01
    ),
    "shsy5y": Hand(
        spacing=5.0, shake=0.5, margin=0.2, margin_spread=0.45, forgotten=0.12, holed=0.04
    ),
    "astro": Hand(
        spacing=9.0, shake=0.9, margin=0.6, margin_spread=0.8, forgotten=0.08, holed=0.19
    ),
}
"""Shares and sizes imitate the competition's annotations."""


def annotate(scene: Scene, hand: Hand, rng: np.random.Generator) -> CellMasks:
    """Draw the masks of a scene's cells, in random order.

    Returns
    -------
    CellMasks
        They may overlap. Cells that are forgotten, or almost outside the image, are missing.
    """
    drawn = []
    for index in rng.permutation(len(scene.cells)):
        if rng.random() < hand.forgotten:
            continue
        mask = _draw_mask(scene.cells[int(index)], scene.shape, hand, rng)
        if mask is not None:
            drawn.append(mask)
    return _join(drawn, scene.shape)


def _draw_mask(
    cell: Cell, shape: tuple[int, int], hand: Hand, rng: np.random.Generator
) -> tuple[int, int, NDArray[np.bool_]] | None:
    """Give position of the window and the mask in it; None if too little is in the image."""
    outline = _draw_outline(cell.outline, hand, rng)
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, shape)
    if (high <= low).any():
        return None
    mask = fill_outline(outline, low[0], low[1], (high[0] - low[0], high[1] - low[1]))
    if rng.random() < hand.holed:
        _cut_holes(mask, rng)
    return (int(low[0]), int(low[1]), mask) if mask.sum() >= hand.smallest else None


def _draw_outline(outline: Outline, hand: Hand, rng: np.random.Generator) -> Outline:
    """Place clicks along the true outline at about equal distances, each a little off."""
    closed = np.concatenate([outline, outline[:1]])
    pieces = np.hypot(*np.diff(closed, axis=0).T)
    along = np.concatenate([[0], np.cumsum(pieces)])
    n_clicks = max(int(along[-1] / hand.spacing), 7)
    clicks = (np.arange(n_clicks) + rng.uniform(-0.3, 0.3, n_clicks)) / n_clicks * along[-1]
    clicks = np.sort(clicks % along[-1])
    points = np.stack([np.interp(clicks, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    tangent = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    # Outlines turn from x towards y, so that (-x, y) of a tangent (y, x) points outwards.
    outward = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    offset = hand.margin + rng.normal(0, hand.margin_spread)
    points = points + offset * outward + rng.normal(0, hand.shake, points.shape)
    drawn: Outline = np.round(points * GRAIN) / GRAIN
    return drawn


def _cut_holes(mask: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """Cut small triangles out of a mask, at least three pixels from its edge."""
    deep = binary_erosion(mask, iterations=3)
    places = np.argwhere(deep)
    if len(places) == 0:
        return
    for _ in range(int(rng.integers(1, 4))):
        corner = places[int(rng.integers(len(places)))]
        triangle = corner + rng.normal(0, 2.5, (3, 2))
        mask &= ~(fill_outline(triangle, 0, 0, (len(mask), mask.shape[1])) & deep)
        mask[corner[0], corner[1]] = False


def _join(drawn: list[tuple[int, int, NDArray[np.bool_]]], shape: tuple[int, int]) -> CellMasks:
    """Convert masks in windows to run lengths in the whole image."""
    width = shape[1]
    starts, lengths, offsets = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], [0]
    for top, left, mask in drawn:
        runs = labels_to_masks(np.pad(mask, ((0, 0), (0, 1))))
        rows, columns = np.divmod(runs.starts, mask.shape[1] + 1)
        starts.append((rows + top) * width + columns + left)
        lengths.append(runs.lengths)
        offsets.append(offsets[-1] + len(runs.starts))
    return CellMasks(
        starts=np.concatenate(starts),
        lengths=np.concatenate(lengths),
        offsets=np.array(offsets, np.int64),
        shape=shape,
    )
