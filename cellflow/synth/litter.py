"""Objects between the cells: debris, dead cells, stray neurites, things out of focus."""

import numpy as np
from numpy.typing import NDArray

from cellflow.synth.scene import Scene
from cellflow.synth.shapes import neurite_path


def add_specks(
    rng: np.random.Generator,
    scene: Scene,
    n_specks: int,
    *,
    radii: tuple[float, float] = (1.0, 2.4),
    heights: tuple[float, float] = (0.5, 2.2),
) -> None:
    """Scatter small dark dots over the field, some of them in pairs."""
    centres = rng.uniform((0, 0), scene.shape, (n_specks, 2))
    paired = rng.random(n_specks) < 0.15
    partners = centres[paired] + rng.normal(0, 4.0, (int(paired.sum()), 2))
    centres = np.concatenate([centres, partners])
    sizes = rng.uniform(*radii, len(centres)) * rng.lognormal(0, 0.15, len(centres))
    scene.discs.append((centres, sizes, rng.uniform(*heights, len(centres))))


def add_dead_cells(
    rng: np.random.Generator,
    scene: Scene,
    n_heaps: int,
    *,
    per_heap: tuple[int, int],
    radii: tuple[float, float] = (2.2, 4.2),
    beside_cells: float = 0.0,
) -> None:
    """Scatter dead cells, alone or in heaps: round, and so thick that their middle is bright.

    Parameters
    ----------
    n_heaps : int
    per_heap : (fewest, most)
    radii : (low, high)
        px.
    beside_cells : float
        Share of the heaps that lie on or beside a living cell.
    """
    for _ in range(n_heaps):
        n_dead = int(rng.integers(per_heap[0], per_heap[1] + 1))
        centre = scene.anywhere(rng)
        if scene.cells and rng.random() < beside_cells:
            centre = scene.cells[int(rng.integers(len(scene.cells)))].centre + rng.normal(0, 5, 2)
        spread = 0.55 * np.sqrt(n_dead) * radii[1] * (n_dead > 1)
        centres = centre + rng.normal(0, spread + 1e-9, (n_dead, 2))
        sizes = rng.uniform(*radii, n_dead)
        # The heights of cells in a heap add up, so each of them is thinner.
        heights = rng.uniform(1.4, 3.4, n_dead) / (1 + 0.8 * (n_dead > 1))
        scene.discs.append((centres, sizes, heights))
        # Granules on top look like the bright and dark dots of a dying cell.
        n_granules = 2 * n_dead
        granules = centre + rng.normal(0, spread + 1.2, (n_granules, 2))
        depths = rng.uniform(-0.9, 1.1, n_granules)
        scene.discs.append((granules, rng.uniform(1.0, 2.0, n_granules), depths))


def add_stray_neurites(
    rng: np.random.Generator,
    scene: Scene,
    n_neurites: int,
    *,
    length: tuple[float, float],
    radius: tuple[float, float],
    height: tuple[float, float],
    wander: float = 0.08,
    beads: float = 0.0,
) -> None:
    """Add neurites that cross the field and belong to cells outside it.

    Parameters
    ----------
    length, radius : (low, high)
        px.
    height : (low, high)
        Phase, radians.
    beads : float
        Probability of a bead at each vertex: degenerating neurites look like strings of pearls.
    """
    for _ in range(n_neurites):
        start, angle = scene.anywhere(rng, 20.0), rng.uniform(0, 2 * np.pi)
        path = neurite_path(rng, start, angle, rng.uniform(*length), wander=wander)
        thickness, phase = rng.uniform(*radius), rng.uniform(*height)
        scene.add_line(path, (thickness, 0.6), (phase, 0.15 * phase))
        add_beads(rng, scene, path, beads)


def add_beads(
    rng: np.random.Generator, scene: Scene, path: NDArray[np.float64], chance: float
) -> None:
    """Add small dots along a path, at each vertex with probability `chance`."""
    chosen = path[rng.random(len(path)) < chance]
    if len(chosen):
        places = chosen + rng.normal(0, 1.2, chosen.shape)
        sizes = rng.uniform(0.9, 1.8, len(places))
        scene.discs.append((places, sizes, rng.uniform(0.3, 1.3, len(places))))


def add_blurred(rng: np.random.Generator, scene: Scene, n_blobs: int) -> None:
    """Add objects far out of focus: wide, faint blobs and rings."""
    centres = rng.uniform((0, 0), scene.shape, (n_blobs, 2))
    sizes = rng.uniform(5, 16, n_blobs)
    heights = rng.normal(0, 0.35, n_blobs)
    scene.blurred.append((centres, sizes, heights))
    rings = rng.random(n_blobs) < 0.4
    scene.blurred.append((centres[rings], 0.7 * sizes[rings], -1.6 * heights[rings]))
