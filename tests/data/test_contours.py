"""Contours follow pixel edges, and enclose what the masks hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellflow.data.contours import _trace, trace_contours
from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.records import CellMasks


def picture(*rows):
    return np.array([[character == "#" for character in row] for row in rows])[None]


def words(steps):
    return "".join("RDLU"[step] for step in steps)


def test_one_pixel_is_walked_around_clockwise():
    contours = trace_contours(dense_to_masks(picture("...", "..#")))
    assert contours.corners.tolist() == [[1, 2]]
    assert words(contours.steps) == "RDLU"


def test_a_hole_is_walked_around_the_other_way():
    contours = trace_contours(dense_to_masks(picture("###", "#.#", "###")))
    assert contours.n_loops.tolist() == [2]
    outer, hole = contours.n_steps
    assert words(contours.steps[:outer]) == "RRRDDDLLLUUU"
    assert words(contours.steps[outer:]) == "DRUL"
    assert hole == 4


def test_pixels_that_touch_at_a_corner_have_loops_of_their_own():
    contours = trace_contours(dense_to_masks(picture("#.", ".#")))
    assert contours.n_loops.tolist() == [2]
    assert words(contours.steps) == "RDLU" * 2


def test_a_run_that_goes_on_in_the_next_row_is_followed():
    masks = CellMasks(
        starts=np.array([2]), lengths=np.array([2], np.int32), offsets=np.array([0, 1]),
        shape=(2, 3),
    )  # fmt: skip
    assert trace_contours(masks).corners.tolist() == [[0, 2], [1, 0]]


stacks = st.tuples(st.integers(0, 4), st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(bool, shape)
)


@given(stacks)
def test_polygons_enclose_as_many_pixels_as_the_cells_have(stack):
    stack = stack[stack.any(axis=(1, 2))]
    cells = trace_contours(dense_to_masks(stack)).polygons()
    areas = [sum(signed_area(loop) for loop in loops) for loops in cells]
    assert areas == stack.sum(axis=(1, 2)).tolist()


def signed_area(loop):
    """Holes are walked around the other way."""
    y, x = loop.astype(int).T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def test_a_polygon_has_the_corners_at_which_the_contour_turns():
    [[loop]] = trace_contours(dense_to_masks(picture("##.", ".##"))).polygons()
    assert loop.tolist() == [[0, 0], [0, 2], [1, 2], [1, 3], [2, 3], [2, 1], [1, 1], [1, 0]]
    assert trace_contours(CellMasks.empty((2, 2))).polygons() == []


def test_one_that_fills_the_image_is_its_border():
    assert trace_contours(labels_to_masks(np.ones((300, 400), int))).n_steps.tolist() == [1400]


@pytest.mark.needs_jit
def test_compiled_and_plain_python_agree(rng):
    masks = dense_to_masks(rng.random((3, 12, 15)) > 0.4)
    sides = (masks.starts, masks.lengths, masks.offsets, 15)
    n_compiled, n_plain = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for compiled, plain in zip(
        _trace(*sides, n_compiled), _trace.py_func(*sides, n_plain), strict=True
    ):
        np.testing.assert_array_equal(compiled, plain)
    np.testing.assert_array_equal(n_compiled, n_plain)
