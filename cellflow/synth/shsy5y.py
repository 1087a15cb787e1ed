"""Fields of neuroblastoma cells: hundreds of small angular bodies that touch and overlap."""

import numpy as np

from cellflow.synth.litter import add_blurred, add_dead_cells, add_specks, add_stray_neurites
from cellflow.synth.scene import Scene
from cellflow.synth.shapes import Outline, cell_outline, draw_arms, neurite_path

MEAN_COUNT, COUNT_SPREAD = 350, 0.5
MEDIAN_DIAMETER, DIAMETER_SPREAD = 16.4, 0.2
MOST_CELLS = 790


def compose_shsy5y(rng: np.random.Generator) -> Scene:
    """Compose one field."""
    scene = Scene()
    spread = COUNT_SPREAD
    n_cells = int(MEAN_COUNT * rng.lognormal(-spread * spread / 2, spread))
    n_cells = int(np.clip(n_cells, 40, MOST_CELLS))
    # Cells of sparse fields have room and spread out.
    size = float(np.clip((MEAN_COUNT / n_cells) ** 0.2, 0.85, 1.3)) * rng.lognormal(0, 0.08)
    clumping = rng.uniform(0.55, 0.8)
    for _ in range(n_cells):
        _add_cell(rng, scene, MEDIAN_DIAMETER * size, clumping)
    for index in range(len(scene.cells)):
        _add_processes(rng, scene, index)
    add_stray_neurites(
        rng,
        scene,
        int(0.25 * n_cells),
        length=(20, 110),
        radius=(0.8, 1.3),
        height=(0.12, 0.35),
        wander=0.12,
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
    """Draw a spindle, a triangle or a polygon, seldom a round cell."""
    area = np.pi / 4 * (diameter * rng.lognormal(0, DIAMETER_SPREAD)) ** 2
    kind = rng.choice(4, p=(0.42, 0.3, 0.18, 0.1))
    if kind == 0:
        arms = draw_arms(rng, 2, (0.3, 1.3), (4, 12))
        return cell_outline(
            rng, area, elongation=rng.uniform(1.6, 3.2), arms=arms, bend=rng.normal(0, 0.12)
        )
    if kind == 3:
        return cell_outline(rng, area, elongation=rng.uniform(1.0, 1.5), roughness=0.06)
    n_arms = 3 if kind == 1 else int(rng.integers(4, 6))
    arms = draw_arms(rng, n_arms, (0.35, 1.3), (6, 16))
    return cell_outline(rng, area, elongation=rng.uniform(1.1, 1.9), arms=arms)


def _add_cell(rng: np.random.Generator, scene: Scene, diameter: float, clumping: float) -> None:
    outline = _draw_body(rng, diameter)
    for _ in range(10):
        together = len(scene.cells) > 3 and rng.random() < clumping
        centre = scene.anywhere(rng)
        if together:
            centre = scene.beside(rng, outline, (0.75, 1.1))
        if scene.try_cell(
            outline,
            centre,
            height=rng.uniform(0.25, 0.85) * (1.8 if rng.random() < 0.08 else 1.0),
            rim=rng.uniform(1.2, 3.5),
            texture=rng.uniform(0.06, 0.2),
            most_covered=0.25,
        ):
            return


def _add_processes(rng: np.random.Generator, scene: Scene, index: int) -> None:
    """Let processes leave the body's farthest corners."""
    cell = scene.cells[index]
    away = cell.outline - cell.centre
    distance = np.hypot(away[:, 0], away[:, 1])
    for _ in range(int(rng.integers(1, 4))):
        corner = int(rng.choice(len(distance), p=distance**6 / (distance**6).sum()))
        angle = float(np.arctan2(away[corner, 0], away[corner, 1])) + rng.normal(0, 0.15)
        # Starts inside, so that body and process join without a gap.
        start = cell.centre + 0.8 * away[corner]
        path = neurite_path(rng, start, angle, rng.lognormal(3.1, 0.6), wander=0.1)
        phase = 0.75 * min(cell.height, 0.8)
        scene.add_line(path, (rng.uniform(1.3, 2.4), 0.8), (phase, 0.35 * phase))
