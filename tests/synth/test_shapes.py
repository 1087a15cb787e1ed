import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.synth.shapes import (
    GRAIN,
    bridge_path,
    cell_outline,
    draw_arms,
    neurite_path,
    outline_area,
    place,
    reach,
)


@given(seed=st.integers(0, 10_000), area=st.floats(30, 13_000), n_arms=st.integers(0, 7))
def test_an_outline_has_the_area_asked_for(seed, area, n_arms):
    rng = np.random.default_rng(seed)
    arms = draw_arms(rng, n_arms, (0.5, 6.0), (2.0, 10.0))
    outline = cell_outline(rng, area, elongation=2.0, arms=arms, bend=0.1, warp=0.3)
    assert outline_area(outline) == pytest.approx(area)
    assert np.isfinite(outline).all()


def test_the_area_of_a_drawn_rectangle():
    assert outline_area(np.array([(0.0, 0.0), (0.0, 5.0), (3.0, 5.0), (3.0, 0.0)])) == 15


def test_an_arm_reaches_out_of_the_body():
    rng = np.random.default_rng(0)
    arms = draw_arms(rng, 3, (4.0, 4.0), (6.0, 6.0), unrest=0)
    distance = np.hypot(*cell_outline(rng, 300, roughness=0, arms=arms).T)
    assert distance.max() > 2 * np.median(distance)


def test_placed_vertices_lie_on_the_grain(rng):
    placed = place(cell_outline(rng, 200), np.array([10.3, 20.7]))
    np.testing.assert_array_equal(placed * GRAIN, np.round(placed * GRAIN))
    assert placed.mean(axis=0) == pytest.approx([10.3, 20.7], abs=2)


def test_a_square_reaches_to_its_sides():
    square = np.array([(y, x) for y in (-3.0, 0.0, 3.0) for x in (-5.0, 0.0, 5.0)])
    assert reach(square, np.array([0.0, 1.0])) == 5
    assert reach(square, np.array([-1.0, 0.0])) == 3


def test_a_bridge_starts_and_ends_where_it_should(rng):
    path = bridge_path(rng, np.array([1.0, 2.0]), np.array([30.0, 40.0]), 0.2)
    np.testing.assert_allclose(path[[0, -1]], [(1, 2), (30, 40)], atol=1e-9)


@pytest.mark.parametrize("length", [0.1, 5.0, 300.0])
def test_a_neurite_has_at_least_two_vertices_and_about_its_length(rng, length):
    path = neurite_path(rng, np.zeros(2), 0.0, length, wander=0.12)
    travelled = np.hypot(*np.diff(path, axis=0).T).sum()
    assert len(path) >= 2
    assert travelled == pytest.approx(max(length, 5), rel=0.4)
