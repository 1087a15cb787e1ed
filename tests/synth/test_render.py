import numpy as np
import pytest

from cellflow.synth.render import GROUND, render
from cellflow.synth.scene import Look, Scene
from cellflow.synth.shapes import cell_outline

LOOK = Look(height=0.8, rim=2.5, texture=0.0)


def test_an_empty_field_is_grey_ground_with_little_noise(rng):
    image = render(Scene(), rng)
    assert image.shape == (520, 704)
    assert image.dtype == np.uint8
    assert image.mean() == pytest.approx(GROUND, abs=0.5)
    assert 0.5 < image.std() < 2.5


def test_a_cell_is_dark_inside_with_a_bright_halo(rng):
    scene = Scene(shape=(60, 60))
    outline = cell_outline(rng, 400, roughness=0)
    scene.try_cell(outline, np.array([30.0, 30.0]), LOOK, most_shared=0)
    image = render(scene, rng).astype(float)
    y, x = np.mgrid[:60, :60] - 30
    distance = np.hypot(y, x)
    radius = np.sqrt(400 / np.pi)
    inside, halo = distance < radius - 1, abs(distance - radius - 1) < 0.8
    assert image[inside].mean() < GROUND - 5
    assert image[halo].mean() > GROUND + 3
    assert image[distance > 25].mean() == pytest.approx(GROUND, abs=1)


def test_a_dot_looks_as_in_the_competitions_pictures(rng):
    scene = Scene(shape=(41, 41))
    scene.discs.append((np.array([(20.0, 20.0)]), np.array([1.2]), np.array([0.6])))
    profile = np.mean([render(scene, rng)[20, 20:25] - 128.0 for _ in range(30)], axis=0)
    assert profile[0] < -30
    assert 0.1 < profile[1] / profile[0] < 0.4
    assert -0.25 < profile[2] / profile[0] < -0.05
    assert abs(profile[4] / profile[0]) < 0.05


def test_the_middle_of_a_large_flat_cell_is_as_grey_as_the_ground(rng):
    scene = Scene(shape=(200, 200))
    outline = cell_outline(rng, 12_000, roughness=0)
    scene.try_cell(outline, np.array([100.0, 100.0]), LOOK, most_shared=0)
    assert render(scene, rng)[90:110, 90:110].mean() == pytest.approx(GROUND, abs=1)
