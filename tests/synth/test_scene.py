import numpy as np
import pytest

from cellflow.synth.scene import Look, Scene

SQUARE = np.array([(-4.0, -4.0), (-4.0, 4.0), (4.0, 4.0), (4.0, -4.0)])
LOOK = Look(height=1.0, rim=2.0, texture=0.1)
ANGLES = np.linspace(0, 2 * np.pi, 60, endpoint=False)
DISC = 5 * np.stack([np.sin(ANGLES), np.cos(ANGLES)], axis=1)


def test_a_cell_that_lies_too_much_over_another_is_refused():
    scene = Scene(shape=(40, 60))
    centre = np.array([20.0, 20.0])
    assert scene.try_cell(SQUARE, centre, LOOK, most_shared=0.2)
    assert not scene.try_cell(SQUARE, centre + 1, LOOK, most_shared=0.2)
    assert scene.try_cell(SQUARE, np.array([20.0, 27.0]), LOOK, most_shared=0.2)
    assert [cell.area for cell in scene.cells] == [64, 64]
    assert (scene.owner > 0).sum() == 64 + 64 - 8


def test_a_cell_at_the_border_is_cut_and_one_outside_is_refused():
    scene = Scene(shape=(40, 60))
    assert scene.try_cell(SQUARE, np.array([0.0, 59.0]), LOOK, most_shared=0)
    assert not scene.try_cell(SQUARE, np.array([-30.0, 20.0]), LOOK, most_shared=0)
    (cell,) = scene.cells
    assert cell.area == cell.inside.sum() == (scene.owner == 1).sum()
    assert (scene.owner[cell.window] == cell.inside).all()


def test_what_is_covered_by_a_small_share_of_a_large_cell_may_not_vanish():
    scene = Scene(shape=(80, 80))
    scene.try_cell(SQUARE, np.array([40.0, 40.0]), LOOK, most_shared=0)
    # The large cell would share only 64 of its 1600 pixels, the small one all.
    assert not scene.try_cell(5 * SQUARE, np.array([40.0, 40.0]), LOOK, most_shared=0.5)


def test_company_is_pushed_up_until_the_two_nearly_touch(rng):
    for _ in range(20):
        scene = Scene(shape=(80, 80))
        scene.try_cell(DISC, np.array([40.0, 40.0]), LOOK, most_shared=0)
        assert scene.settle(rng, DISC, LOOK, together=1.0, most_shared=0)
        distance = np.hypot(*(scene.cells[1].centre - 40))
        assert distance == pytest.approx(10.5, abs=1.5)


def test_a_cell_that_fits_nowhere_is_given_up(rng):
    scene = Scene(shape=(30, 30))
    scene.try_cell(5 * SQUARE, np.array([15.0, 15.0]), LOOK, most_shared=0)
    assert not scene.settle(rng, SQUARE, LOOK, together=0.5, most_shared=0)


def test_a_line_tapers(rng):
    scene = Scene(shape=(20, 20))
    scene.add_line(np.zeros((3, 2)), (2.0, 1.0), (1.0, 0.0))
    (_, radii, heights) = scene.lines[0]
    assert radii.tolist() == [2.0, 1.5, 1.0]
    assert heights.tolist() == pytest.approx([1.0, 0.5, 0.0])
