"""Fields of cortical neurons: few round cells, many thin neurites, much debris."""

import numpy as np
from numpy.typing import NDArray

from cellflow.synth.litter import (
    add_beads,
    add_blurred,
    add_dead_cells,
    add_specks,
    add_stray_neurites,
)
from cellflow.synth.scene import Look, Scene
from cellflow.synth.shapes import cell_outline, draw_arms, neurite_path

MEAN_COUNT, COUNT_SPREAD = 37, 0.45
MEDIAN_DIAMETER, DIAMETER_SPREAD = 16.6, 0.21


def compose_cort(rng: np.random.Generator) -> Scene:
    """Compose one field.

    Notes
    -----
    The density of neurites and debris differs between cultures by an order of magnitude, so it is
    drawn once per image.
    """
    scene = Scene()
    spread = COUNT_SPREAD
    n_cells = int(np.clip(MEAN_COUNT * rng.lognormal(-spread * spread / 2, spread), 4, 110))
    clumping = rng.uniform(0.1, 0.38)
    density = rng.lognormal(0.45, 0.85)
    for _ in range(n_cells):
        _add_cell(rng, scene, clumping)
    for cell in list(scene.cells):
        _add_neurites(rng, scene, cell.centre, density)
    add_stray_neurites(
        rng,
        scene,
        int(min(110 * density, 650)),
        length=(60, 420),
        radius=(0.55, 0.85),
        height=(0.1, 0.5),
        wander=0.04,
        beads=min(0.08 * rng.lognormal(0, 0.9), 0.5),
    )
    add_specks(rng, scene, int(rng.lognormal(5.3, 0.6)))
    add_dead_cells(rng, scene, int(rng.lognormal(3.3, 0.5)), per_heap=(1, 1), radii=(2.0, 3.6))
    add_dead_cells(rng, scene, int(rng.integers(2, 14)), per_heap=(2, 7), radii=(1.8, 3.4))
    add_blurred(rng, scene, int(rng.integers(0, 6)))
    return scene


def _add_cell(rng: np.random.Generator, scene: Scene, clumping: float) -> None:
    diameter = MEDIAN_DIAMETER * rng.lognormal(0, DIAMETER_SPREAD)
    n_arms = int(rng.choice(4, p=(0.4, 0.2, 0.25, 0.15)))
    outline = cell_outline(
        rng,
        np.pi / 4 * diameter**2,
        elongation=1 + rng.gamma(1.5, 0.22),
        roughness=0.06,
        arms=draw_arms(rng, n_arms, (0.1, 1.0), (2.5, 5.0)),
        warp=0.12,
    )
    look = Look(
        # Some cells are rounded up and bright; the others are flat.
        height=rng.uniform(1.6, 3.0) if rng.random() < 0.4 else rng.uniform(0.5, 1.3),
        rim=rng.uniform(1.2, 3.0),
        texture=rng.uniform(0.15, 0.45),
    )
    scene.settle(rng, outline, look, together=clumping, most_shared=rng.exponential(0.05))


def _add_neurites(
    rng: np.random.Generator,
    scene: Scene,
    centre: NDArray[np.float64],
    density: float,
) -> None:
    """Add neurites that start at a cell: a few long ones, sometimes many short spikes."""
    for _ in range(int(rng.poisson(3 + 2 * min(density, 3)))):
        length = rng.lognormal(4.0, 0.7)
        path = neurite_path(rng, centre, rng.uniform(0, 2 * np.pi), length, wander=0.03)
        phase = rng.uniform(0.2, 0.7)
        scene.add_line(path, (rng.uniform(0.7, 1.4), 0.6), (phase, 0.3 * phase))
        add_beads(rng, scene, path, 0.04 * density)
    if rng.random() < 0.1:
        for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(8, 26))):
            path = neurite_path(rng, centre, angle, rng.uniform(14, 28), wander=0.02)
            scene.add_line(path, (0.9, 0.65), (rng.uniform(0.5, 1.1), 0.15))
