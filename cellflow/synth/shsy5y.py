"""Fields of neuroblastoma cells: hundreds of small angular bodies that touch and overlap."""

import numpy as np

from cellflow.synth.litter import add_blurred, add_dead_cells, add_specks, add_stray_neurites
from cellflow.synth.scene import Cell, Look, Scene
from cellflow.synth.shapes import Outline, bridge_path, cell_outline, draw_arms, neurite_path

MEAN_COUNT, COUNT_SPREAD = 400, 0.5
MEDIAN_DIAMETER, DIAMETER_SPREAD = 17.2, 0.22
MOST_CELLS = 790


def compose_shsy5y(rng: np.random.Generator) -> Scene:
    """Compose one field."""
    scene = Scene()
    spread = COUNT_SPREAD
    n_cells = int(MEAN_COUNT * rng.lognormal(-spread * spread / 2, spread))
    n_cells = int(np.clip(n_cells, 40, MOST_CELLS))
    # In sparse fields cells have room and are larger.
    size = float(np.clip((MEAN_COUNT / n_cells) ** 0.2, 0.85, 1.3)) * rng.lognormal(0, 0.08)
    clumping = rng.uniform(0.45, 0.75)
    for _ in range(n_cells):
        _add_cell(rng, scene, MEDIAN_DIAMETER * size, clumping)
    for cell in scene.cells:
        _add_processes(rng, scene, cell)
    _add_bridges(rng, scene)
    add_stray_neurites(
        rng,
        scene,
        int(0.12 * n_cells),
        length=(20, 110),
        radius=(0.6, 0.9),
        height=(0.15, 0.5),
        wander=0.05,
    )
    add_dead_cells(
        rng,
        scene,
        int(rng.uniform(0.02, 0.1) * n_cells + 3),
        per_heap=(2, 12),
        radii=(2.0, 3.8),
        beside_cells=0.8,
    )
    add_dead_cells(rng, scene, int(rng.integers(2, 20)), per_heap=(1, 1))
    add_specks(rng, scene, int(rng.integers(5, 60)))
    add_blurred(rng, scene, int(rng.integers(0, 5)))
    return scene


def _draw_body(rng: np.random.Generator, diameter: float) -> Outline:
    """Draw a spindle, a triangle or a polygon, rarely a round cell."""
    area = np.pi / 4 * (diameter * rng.lognormal(0, DIAMETER_SPREAD)) ** 2
    kind = rng.choice(4, p=(0.42, 0.3, 0.18, 0.1))
    if kind == 0:
        arms = draw_arms(rng, 2, (0.8, 2.8), (2.5, 4.5))
        return cell_outline(
            rng, area, elongation=rng.uniform(1.3, 2.4), arms=arms, bend=rng.normal(0, 0.12)
        )
    if kind == 3:
        return cell_outline(rng, area, elongation=rng.uniform(1.0, 1.5), roughness=0.06)
    n_arms = 3 if kind == 1 else int(rng.integers(4, 6))
    arms = draw_arms(rng, n_arms, (0.5, 2.4), (2.5, 5.0))
    return cell_outline(rng, area, elongation=rng.uniform(1.1, 1.8), arms=arms, warp=0.15)


def _add_cell(rng: np.random.Generator, scene: Scene, diameter: float, clumping: float) -> None:
    outline = _draw_body(rng, diameter)
    look = Look(
        height=rng.uniform(0.3, 1.2) * (1.8 if rng.random() < 0.08 else 1.0),
        rim=rng.uniform(1.2, 4.5),
        texture=rng.uniform(0.04, 0.14),
    )
    scene.settle(rng, outline, look, together=clumping, most_shared=rng.exponential(0.07))


def _add_bridges(rng: np.random.Generator, scene: Scene) -> None:
    """Connect cells with neighbours by thin, slightly curved processes."""
    centres = np.array([cell.centre for cell in scene.cells])
    for cell in scene.cells:
        distance = np.hypot(*(centres - cell.centre).T)
        near = np.flatnonzero((distance > 20) & (distance < 75))
        n_bridges = min(int(rng.choice(3, p=(0.4, 0.45, 0.15))), len(near))
        for other in rng.choice(near, n_bridges, replace=False):
            path = bridge_path(rng, cell.centre, centres[other], rng.normal(0, 0.12))
            phase = rng.uniform(0.15, 0.5)
            scene.add_line(path, (rng.uniform(0.6, 1.1), 0.65), (phase, phase))


def _add_processes(rng: np.random.Generator, scene: Scene, cell: Cell) -> None:
    """Add processes that start at the farthest corners of the body."""
    away = cell.outline - cell.centre
    distance = np.hypot(away[:, 0], away[:, 1])
    for _ in range(int(rng.integers(1, 3))):
        corner = int(rng.choice(len(distance), p=distance**6 / (distance**6).sum()))
        angle = float(np.arctan2(away[corner, 0], away[corner, 1])) + rng.normal(0, 0.15)
        # It starts inside the body, so that there is no gap.
        start = cell.centre + 0.8 * away[corner]
        path = neurite_path(rng, start, angle, rng.lognormal(2.9, 0.6), wander=0.08)
        phase = 0.75 * min(cell.look.height, 0.8)
        scene.add_line(path, (rng.uniform(1.0, 1.8), 0.6), (phase, 0.2 * phase))
