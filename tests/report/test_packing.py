"""Packed cells and numbers come back by the format's description."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from unpacking import unpack_cells, unpack_numbers

from cellflow.data.rle import dense_to_masks, labels_to_masks, masks_to_dense
from cellflow.records import CellMasks
from cellflow.report.packing import pack_cells, pack_numbers

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
    assert unpack_cells(pack_cells(full), (300, 400)).all()


def test_an_image_without_cells_is_one_zero():
    assert unpack_numbers(pack_cells(CellMasks.empty((5, 5)))) == [0]
