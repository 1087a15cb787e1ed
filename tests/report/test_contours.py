"""Contours follow pixel edges, and give the masks back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from unpacking import unpack_cells, unpack_numbers

from cellflow.data.rle import dense_to_masks, labels_to_masks, masks_to_dense
from cellflow.records import CellMasks
from cellflow.report.contours import _trace, trace_contours
from cellflow.report.packing import pack_cells, pack_numbers


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
def test_packed_cells_come_back_pixel_by_pixel(stack):
    stack = stack[stack.any(axis=(1, 2))]
    np.testing.assert_array_equal(
        unpack_cells(pack_cells(dense_to_masks(stack)), stack.shape[1:]), stack
    )


@given(st.lists(st.integers(0, 2**40)))
def test_packed_numbers_come_back(numbers):
    assert unpack_numbers(pack_numbers(numbers)) == numbers


def test_many_cells_far_apart_and_one_that_fills_the_image_come_back():
    labels = np.zeros((60, 80), int)
    labels[::3, ::4] = np.arange(1, 401).reshape(20, 20)
    masks = labels_to_masks(labels)
    np.testing.assert_array_equal(unpack_cells(pack_cells(masks), (60, 80)), masks_to_dense(masks))
    full = labels_to_masks(np.ones((300, 400), int))
    assert trace_contours(full).n_steps.tolist() == [1400]


def test_an_image_without_cells_is_one_zero():
    assert unpack_numbers(pack_cells(CellMasks.empty((5, 5)))) == [0]


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
