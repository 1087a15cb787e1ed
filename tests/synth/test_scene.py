import numpy as np
import pytest

from cellflow.synth.scene import Scene

SQUARE = np.array([(-4.0, -4.0), (-4.0, 4.0), (4.0, 4.0), (4.0, -4.0)])
LOOK = {"height": 1.0, "rim": 2.0, "texture": 0.1}


def test_a_cell_that_lies_too_much_over_another_is_refused():
    scene = Scene(shape=(40, 60))
    centre = np.array([20.0, 20.0])
    assert scene.try_cell(SQUARE, centre, most_covered=0.2, **LOOK)
    assert not scene.try_cell(SQUARE, centre + 1, most_covered=0.2, **LOOK)
    assert scene.try_cell(SQUARE, np.array([20.0, 27.0]), most_covered=0.2, **LOOK)
    assert scene.cover.max() == 2
    assert len(scene.cells) == 2


def test_a_cell_at_the_border_is_cut_and_one_outside_is_refused():
    scene = Scene(shape=(40, 60))
    assert scene.try_cell(SQUARE, np.array([0.0, 59.0]), most_covered=0, **LOOK)
    assert not scene.try_cell(SQUARE, np.array([-30.0, 20.0]), most_covered=0, **LOOK)
    (cell,) = scene.cells
    assert scene.cover[cell.window].sum() == cell.inside.sum() == scene.cover.sum()


def test_beside_puts_outlines_next_to_each_other(rng):
    scene = Scene(shape=(80, 80))
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    disc = 5 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    scene.try_cell(disc, np.array([40.0, 40.0]), most_covered=0, **LOOK)
    for _ in range(50):
        distance = np.hypot(*(scene.beside(rng, disc, (1.0, 1.0)) - 40))
        assert distance == pytest.approx(10, abs=0.2)


def test_a_line_tapers(rng):
    scene = Scene(shape=(20, 20))
    scene.add_line(np.zeros((3, 2)), (2.0, 1.0), (1.0, 0.0))
    (_, radii, heights) = scene.lines[0]
    assert radii.tolist() == [2.0, 1.5, 1.0]
    assert heights.tolist() == pytest.approx([1.0, 0.5, 0.0])
