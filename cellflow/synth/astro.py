"""Fields of astrocytes: large flat, long or branching cells that lie over each other."""

import numpy as np

from cellflow.synth.litter import add_blurred, add_dead_cells, add_specks, add_stray_neurites
from cellflow.synth.scene import Scene
from cellflow.synth.shapes import Outline, cell_outline, draw_arms

MEAN_COUNT, COUNT_SPREAD = 80, 0.5
MEDIAN_AREA, AREA_SPREAD = 720.0, 0.75
SMALLEST, LARGEST = 60.0, 13000.0


def compose_astro(rng: np.random.Generator) -> Scene:
    """Compose one field."""
    scene = Scene()
    spread = COUNT_SPREAD
    n_cells = int(np.clip(MEAN_COUNT * rng.lognormal(-spread * spread / 2, spread), 10, 200))
    size = float(np.clip((MEAN_COUNT / n_cells) ** 0.35, 0.6, 1.9)) * rng.lognormal(0, 0.15)
    contrast = rng.lognormal(0, 0.25)
    clumping = rng.uniform(0.82, 0.95)
    for _ in range(n_cells):
        _add_cell(rng, scene, MEDIAN_AREA * size, clumping, contrast)
    _add_granules(rng, scene)
    add_stray_neurites(
        rng,
        scene,
        int(rng.integers(2, 25)),
        length=(30, 160),
        radius=(0.7, 1.3),
        height=(0.05, 0.3),
    )
    add_dead_cells(rng, scene, int(rng.integers(3, 25)), per_heap=(1, 1), radii=(2.0, 4.5))
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
    for _ in range(12):
        together = len(scene.cells) > 1 and rng.random() < clumping
        centre = scene.anywhere(rng, 15.0)
        if together:
            centre = scene.beside(rng, outline, (0.55, 1.0))
        if scene.try_cell(
            outline,
            centre,
            height=height * contrast,
            rim=rim,
            texture=rng.uniform(0.03, 0.12) * contrast,
            most_covered=0.4,
        ):
            return


def _draw_body(rng: np.random.Generator, area: float) -> tuple[Outline, float, float]:
    """Draw a star, a long cell or a flat one; give outline, phase and width of the rim."""
    kind = rng.choice(3, p=(0.25, 0.35, 0.4))
    if kind == 0:
        arms = draw_arms(rng, int(rng.integers(3, 8)), (1.0, 5.0), (25, 130))
        outline = cell_outline(rng, area, roughness=0.12, arms=arms, bend=rng.normal(0, 0.1))
        return outline, rng.uniform(0.5, 1.2), rng.uniform(2.0, 4.0)
    if kind == 1:
        arms = draw_arms(rng, 2, (0.2, 1.6), (6, 30))
        outline = cell_outline(
            rng, area, elongation=rng.uniform(2.5, 6), arms=arms, bend=rng.normal(0, 0.2)
        )
        return outline, rng.uniform(0.2, 0.9), rng.uniform(1.5, 4.0)
    arms = draw_arms(rng, int(rng.integers(0, 5)), (0.2, 0.8), (6, 20))
    outline = cell_outline(rng, area, elongation=rng.uniform(1.1, 2.2), roughness=0.14, arms=arms)
    return outline, rng.uniform(0.1, 0.35), rng.uniform(1.0, 2.5)


def _add_granules(rng: np.random.Generator, scene: Scene) -> None:
    """Put a few dark or bright grains around the middle of each cell."""
    for cell in scene.cells:
        n_grains = int(rng.poisson(1.5 + 0.002 * cell.inside.sum()))
        spread = 0.2 * np.sqrt(cell.inside.sum())
        centres = cell.centre + rng.normal(0, spread, (n_grains, 2))
        scene.discs.append(
            (centres, rng.uniform(0.8, 1.5, n_grains), rng.normal(0.2, 0.35, n_grains))
        )
