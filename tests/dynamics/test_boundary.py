"""Cells grow and shrink by pixels and fractions, and never overlap or vanish."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellflow.dynamics.boundary import list_inner_ring, list_outer_ring, shift_boundaries
from cellflow.errors import LabelError


def picture(*rows):
    return np.array([[int(c) if c.isdigit() else 0 for c in row] for row in rows], np.int32)


def flat(labels):
    return np.zeros(labels.shape, np.float32)


def test_a_pixel_grows_by_edges_then_by_corners():
    labels = picture(".....", ".....", "..1..", ".....", ".....")
    one = picture(".....", "..1..", ".111.", "..1..", ".....")
    two = picture(".111.", "11111", "11111", "11111", ".111.")
    assert (shift_boundaries(labels, flat(labels), 1) == one).all()
    assert (shift_boundaries(labels, flat(labels), 2) == two).all()


def test_a_square_shrinks_by_its_rim_but_not_at_the_images_border():
    inside = picture(".....", ".111.", ".111.", ".111.", ".....")
    assert (
        shift_boundaries(inside, flat(inside), -1)
        == picture(*["....."] * 2, "..1..", *["....."] * 2)
    ).all()
    at_corner = picture("111.", "111.", "111.", "....")
    assert (
        shift_boundaries(at_corner, flat(at_corner), -1) == picture("11..", "11..", "....", "....")
    ).all()


@pytest.mark.parametrize("shift", [-2.5, -1, 0.5, 1])
def test_a_cell_that_fills_the_image_has_no_boundary_to_shift(shift):
    full = np.full((3, 4), 5, np.int32)
    assert (shift_boundaries(full, flat(full), shift) == full).all()


def test_touching_cells_stay_apart_and_each_gives_way():
    labels = picture("......", "111222", "111222", "......")
    grown = picture("111222", "111222", "111222", "111222")
    assert (shift_boundaries(labels, flat(labels), 1) == grown).all()
    # Every pixel of these cells is rim, so they stay instead of vanishing.
    assert (shift_boundaries(labels, flat(labels), -1) == labels).all()
    tall = picture("111222", "111222", "111222")
    assert (shift_boundaries(tall, flat(tall), -1) == picture("11..22", "11..22", "11..22")).all()


def test_a_pixel_between_cells_goes_to_the_one_it_touches_most():
    labels = picture("11...", "1.2..", "22222")
    # (1, 1) touches 1 twice by edges, 2 twice: of equals the smaller label.
    assert shift_boundaries(labels, flat(labels), 1)[1, 1] == 1


def test_a_fraction_of_a_ring_is_where_the_network_sees_cell():
    labels = picture(".....", ".....", "..1..", ".....", ".....")
    cellprob = flat(labels)
    cellprob[2, 3], cellprob[1, 2] = 2.0, 1.0
    assert (
        shift_boundaries(labels, cellprob, 0.5)
        == picture(".....", "..1..", "..11.", ".....", ".....")
    ).all()
    square = picture(".....", ".111.", ".111.", ".111.", ".....")
    cellprob = flat(square)
    cellprob[1, 1] = cellprob[3, 3] = -1.0
    assert (
        shift_boundaries(square, cellprob, -0.25)
        == picture(".....", "..11.", ".111.", ".11..", ".....")
    ).all()


def test_nothing_moves_at_0_and_the_input_is_never_changed():
    labels = picture("....", ".11.", "....")
    before = labels.copy()
    assert (shift_boundaries(labels, flat(labels), 0.0) == before).all()
    shift_boundaries(labels, flat(labels), 2.5)
    assert (labels == before).all()
    empty = np.zeros((3, 4), np.uint8)
    assert shift_boundaries(empty, flat(empty), 1.0).dtype == np.int32


def test_sizes_that_differ_are_refused():
    with pytest.raises(LabelError, match="labels and cellprob"):
        shift_boundaries(np.zeros((3, 4), int), np.zeros((4, 3)), 1.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(-3, 3))
def test_no_cell_vanishes_and_the_background_only_shrinks_or_grows(seed, shift):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 5, (4, 5)), np.ones((3, 3), int))
    cellprob = rng.normal(size=labels.shape)
    found = shift_boundaries(labels, cellprob, shift)
    assert set(np.unique(found)) - {0} == set(np.unique(labels)) - {0}
    if shift > 0:
        assert (found[labels > 0] == labels[labels > 0]).all()
    else:
        assert ((found == labels) | (found == 0)).all()


@pytest.mark.parametrize("by_corners", [False, True])
def test_rings_are_those_of_scipys_dilation(rng, by_corners):
    labels = (rng.random((30, 40)) < 0.1).astype(np.int32)
    structure = ndimage.generate_binary_structure(2, 1 + by_corners)
    ring = ndimage.binary_dilation(labels, structure) & (labels == 0)
    assert (list_outer_ring(labels, by_corners)[0] == np.flatnonzero(ring)).all()
    thick = ndimage.binary_dilation(labels, structure, iterations=2).astype(np.int32)
    rim = (thick > 0) & ~ndimage.binary_erosion(thick, structure, border_value=1)
    assert (list_inner_ring(thick, by_corners) == np.flatnonzero(rim)).all()


def test_discs_grow_by_about_as_many_pixels_as_asked():
    y, x = np.mgrid[:101, :101] - 50
    disc = (y**2 + x**2 <= 20**2).astype(np.int32)
    for shift in (-2, -1, 1, 2, 3):
        radius = np.sqrt((shift_boundaries(disc, flat(disc), shift) > 0).sum() / np.pi)
        assert radius - 20 == pytest.approx(shift, abs=0.15 * abs(shift) + 0.1)
