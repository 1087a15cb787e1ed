from dataclasses import replace

import numpy as np

from cellflow.data.rle import masks_to_dense
from cellflow.synth.annotate import HANDS, Hand, annotate
from cellflow.synth.scene import Look, Scene
from cellflow.synth.shapes import cell_outline

STEADY = Hand(spacing=1.0, shake=0.0, margin=0.0, margin_spread=0.0, forgotten=0.0, holed=0.0)
LOOK = Look(height=1.0, rim=2.0, texture=0.1)


def _scene(n_cells=12, area=400):
    rng = np.random.default_rng(0)
    scene = Scene(shape=(120, 150))
    while len(scene.cells) < n_cells:
        scene.try_cell(cell_outline(rng, area), scene.anywhere(rng, 0), LOOK, most_shared=0.3)
    return scene


def test_a_steady_hand_draws_the_cells_themselves(rng):
    scene = _scene()
    drawn = masks_to_dense(annotate(scene, STEADY, rng)).sum(axis=0)
    cover = np.zeros(scene.shape, int)
    for cell in scene.cells:
        cover[cell.window] += cell.inside
    assert (drawn != cover).mean() < 0.01
    assert drawn.max() == cover.max() == 2


def test_the_margin_lies_outside(rng):
    exact = annotate(_scene(), STEADY, np.random.default_rng(1))
    wide = annotate(_scene(), replace(STEADY, margin=2.0), np.random.default_rng(1))
    assert (wide.areas > exact.areas).all()


def test_forgotten_cells_are_not_drawn(rng):
    assert len(annotate(_scene(), replace(STEADY, forgotten=1.0), rng)) == 0
    some = len(annotate(_scene(40, 100), replace(STEADY, forgotten=0.5), rng))
    assert 8 < some < 32


def test_holes_lie_inside_the_mask(rng):
    whole = masks_to_dense(annotate(_scene(), STEADY, np.random.default_rng(1)))
    holed = masks_to_dense(annotate(_scene(), replace(STEADY, holed=1.0), np.random.default_rng(1)))
    assert holed.sum() < whole.sum()


def test_no_mask_is_smaller_than_the_smallest():
    for seed in range(5):
        masks = annotate(_scene(60, 40), HANDS["shsy5y"], np.random.default_rng(seed))
        assert masks.areas.min() >= HANDS["shsy5y"].smallest


def test_a_scene_without_cells_gives_no_masks(rng):
    masks = annotate(Scene(shape=(20, 30)), HANDS["cort"], rng)
    assert len(masks) == 0
    assert masks.shape == (20, 30)
