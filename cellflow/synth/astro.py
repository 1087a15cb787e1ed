"""Fields of astrocytes: large cells, flat, long or branching, that overlap."""

import numpy as np

from cellflow.synth.litter import add_blurred, add_dead_cells, add_specks, add_stray_neurites
from cellflow.synth.scene import Cell, Look, Scene
from cellflow.synth.shapes import Outline, cell_outline, draw_arms, neurite_path

MEAN_COUNT, COUNT_SPREAD = 92, 0.5
MEDIAN_AREA, AREA_SPREAD = 840.0, 0.78
SMALLEST, LARGEST = 60.0, 13000.0


def compose_astro(rng: np.random.Generator) -> Scene:
    """Compose one field."""
    scene = Scene()
    spread = COUNT_SPREAD
    n_cells = int(np.clip(MEAN_COUNT * rng.lognormal(-spread * spread / 2, spread), 10, 200))
    size = float(np.clip((MEAN_COUNT / n_cells) ** 0.35, 0.6, 1.9)) * rng.lognormal(0, 0.15)
    contrast = rng.lognormal(0.1, 0.25)
    clumping = rng.uniform(0.82, 0.95)
    for _ in range(n_cells):
        _add_cell(rng, scene, MEDIAN_AREA * size, clumping, contrast)
    for cell in scene.cells:
        _add_granules(rng, scene, cell)
        _add_fibres(rng, scene, cell)
    add_stray_neurites(
        rng,
        scene,
        int(rng.integers(2, 25)),
        length=(30, 160),
        radius=(0.7, 1.3),
        height=(0.05, 0.3),
    )
    add_dead_cells(rng, scene, int(rng.integers(5, 30)), per_heap=(1, 1), radii=(2.0, 4.5))
    add_dead_cells(
        rng, scene, int(rng.integers(1, 8)), per_heap=(2, 8), radii=(1.8, 4.0), beside_cells=0.6
    )
    add_specks(rng, scene, int(rng.lognormal(4.0, 0.7)), radii=(0.8, 1.7), heights=(0.2, 1.2))
    add_blurred(rng, scene, int(rng.integers(0, 8)))
    return scene


def _add_cell(
    rng: np.random.Generator, scene: Scene, median_area: float, clumping: float, contrast: float
) -> None:
    area = float(np.clip(median_area * rng.lognormal(0, AREA_SPREAD), SMALLEST, LARGEST))
    outline, height, rim = _draw_body(rng, area)
    # Larger cells are flatter.
    height *= contrast * min((median_area / area) ** 0.3, 1.4)
    look = Look(height=height, rim=rim, texture=rng.uniform(0.025, 0.08) * contrast)
    scene.settle(
        rng, outline, look, together=clumping, most_shared=rng.exponential(0.06), margin=15.0
    )


def _draw_body(rng: np.random.Generator, area: float) -> tuple[Outline, float, float]:
    """Draw a star-shaped, a long or a flat cell; give outline, phase and width of the rim."""
    kind = rng.choice(3, p=(0.25, 0.35, 0.4))
    if kind == 0:
        arms = draw_arms(rng, int(rng.integers(2, 6)), (2.0, 14.0), (6.0, 14.0), unrest=2.0)
        outline = cell_outline(rng, area, arms=arms, bend=rng.normal(0, 0.15), warp=0.5)
        return outline, rng.uniform(0.5, 1.2), rng.uniform(1.0, 2.5)
    if kind == 1:
        arms = draw_arms(rng, 2, (1.0, 6.0), (3.0, 6.0))
        outline = cell_outline(
            rng,
            area,
            elongation=rng.uniform(1.2, 3.0),
            roughness=0.05,
            warp=0.3,
            arms=arms,
            bend=rng.normal(0, 0.2),
        )
        return outline, rng.uniform(0.2, 0.8), rng.uniform(0.8, 2.5)
    arms = draw_arms(rng, int(rng.integers(2, 7)), (0.3, 2.0), (2.0, 4.0), unrest=1.2)
    outline = cell_outline(
        rng, area, elongation=rng.uniform(1.1, 2.2), roughness=0.1, arms=arms, warp=0.2
    )
    return outline, rng.uniform(0.12, 0.4), rng.uniform(0.6, 2.0)


def _add_granules(rng: np.random.Generator, scene: Scene, cell: Cell) -> None:
    """Add a few dark or bright granules around the middle of a cell."""
    area = cell.area
    n_grains = int(rng.poisson(1.5 + 0.004 * area))
    centres = cell.centre + rng.normal(0, 0.25 * np.sqrt(area), (n_grains, 2))
    scene.discs.append((centres, rng.uniform(0.8, 1.6, n_grains), rng.normal(0.25, 0.4, n_grains)))


def _add_fibres(rng: np.random.Generator, scene: Scene, cell: Cell) -> None:
    """Add thin processes beyond the tips, and faint fibres along the cell."""
    away = cell.outline - cell.centre
    distance = np.hypot(away[:, 0], away[:, 1])
    radius = float(np.sqrt(cell.area / np.pi))
    for _ in range(int(rng.integers(1, 5))):
        tip = int(rng.choice(len(distance), p=distance**8 / (distance**8).sum()))
        angle = float(np.arctan2(away[tip, 0], away[tip, 1])) + rng.normal(0, 0.2)
        start, length = cell.centre + 0.75 * away[tip], radius * rng.lognormal(0.9, 0.5)
        path = neurite_path(rng, start, angle, length, wander=0.07)
        phase = min(cell.look.height, 0.8) * rng.uniform(0.5, 1.0)
        scene.add_line(path, (rng.uniform(0.9, 1.7), 0.6), (phase, 0.2 * phase))
    main = float(np.arctan2(*away[int(np.argmax(distance))]))
    for _ in range(int(rng.poisson(min(radius / 4, 8)))):
        start = cell.centre + rng.normal(0, 0.4 * radius, 2)
        path = neurite_path(rng, start, main + rng.normal(0, 0.12), 1.5 * radius, wander=0.03)
        phase = 0.1 + 0.4 * cell.look.height * rng.uniform(0.3, 1.0)
        scene.add_line(path, (0.7, 0.6), (phase, 0.3 * phase))
