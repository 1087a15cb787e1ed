"""The U-Net's target and its way back to cells."""

import numpy as np
import pytest

from cellflow.baselines.settings import UNetSettings
from cellflow.baselines.unet import BOUNDARY, divide_cells, find_markers, pixel_classes


def found(shares):
    return divide_cells(shares, find_markers(shares, UNetSettings()), UNetSettings())


TOUCHING = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 2, 2, 2, 2, 0],
        [0, 1, 1, 1, 2, 2, 2, 2, 0],
        [0, 1, 1, 1, 2, 2, 2, 2, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)


def test_the_rim_of_each_cell_is_boundary():
    expected = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 2, 2, 2, 2, 2, 2, 2, 0],
            [0, 2, 1, 2, 2, 1, 1, 2, 0],
            [0, 2, 2, 2, 2, 2, 2, 2, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
    )
    assert (pixel_classes(TOUCHING, 1) == expected).all()


def test_a_wider_boundary_leaves_less_inside():
    labels = np.kron(TOUCHING, np.ones((4, 4), np.int32))
    narrow, wide = pixel_classes(labels, 1), pixel_classes(labels, 2)
    assert ((wide == BOUNDARY) >= (narrow == BOUNDARY)).all()
    assert (wide == BOUNDARY).sum() > (narrow == BOUNDARY).sum()


@pytest.mark.parametrize("width", [1, 2])
def test_perfect_classes_give_the_cells_back(width):
    labels = np.kron(TOUCHING, np.ones((4, 4), np.int32))
    classes = pixel_classes(labels, width)
    shares = np.stack([classes == k for k in range(3)]).astype(np.float32)
    divided = found(shares)
    assert divided.max() == 2
    assert ((divided > 0) == (labels > 0)).all()
    # Rims that touch are divided in the middle, whatever their width.
    assert (divided == labels).all()


def test_foreground_without_an_inner_part_is_no_cell():
    shares = np.zeros((3, 6, 6), np.float32)
    shares[0], shares[2, 2:4, 2:4] = 1, 1
    shares[0, 2:4, 2:4] = 0
    assert not found(shares).any()


def test_nothing_is_found_in_nothing():
    shares = np.zeros((3, 6, 6), np.float32)
    shares[0] = 1
    assert not found(shares).any()


def test_a_cell_that_fills_the_image_is_a_cell():
    shares = np.zeros((3, 6, 6), np.float32)
    shares[1] = 1
    assert (found(shares) == 1).all()


def test_a_marker_outside_the_foreground_leaves_no_gap():
    shares = np.zeros((3, 4, 8), np.float32)
    shares[0, :, :4] = shares[1, :, 4:] = 1
    markers = np.zeros((4, 8), np.int32)
    markers[1, 1], markers[1, 6] = 1, 2
    assert np.unique(divide_cells(shares, markers, UNetSettings())).tolist() == [0, 1]
