"""What one pixel does to a cell of known shape."""

import numpy as np
import pytest

from cellflow.data.kaggle import read_train_csv
from cellflow.data.rle import labels_to_masks
from cellflow.diagnosis.annotation_limits import annotation_limits, changed_ious
from cellflow.records import CellMasks


def square(side, at=(10, 10), size=40):
    labels = np.zeros((size, size), np.int32)
    labels[at[0] : at[0] + side, at[1] : at[1] + side] = 1
    return labels_to_masks(labels)


def test_a_square_loses_what_geometry_says():
    areas, ious = changed_ious(square(10))
    assert areas.tolist() == [100]
    erosion, dilation, *shifts = ious[0]
    assert erosion == pytest.approx(64 / 100)
    # By the four neighbours, so the corners stay empty.
    assert dilation == pytest.approx(100 / 140)
    straight, diagonal = 90 / 110, 81 / 119
    order = [diagonal, straight, diagonal, straight, straight, diagonal, straight, diagonal]
    assert shifts == pytest.approx(order)


def test_a_cell_at_the_images_border_is_cut_off_there():
    _, ious = changed_ious(square(10, at=(0, 0)))
    assert ious[0, 0] == pytest.approx(81 / 100)
    assert ious[0, 1] == pytest.approx(100 / 120)
    assert ious[0, 2] == pytest.approx(81 / 100)


def test_cells_are_sorted_by_area_and_large_ones_hold_longer():
    small, large = annotation_limits([square(8), square(9), square(30, at=(2, 2))])
    assert (small.low, small.high, small.n_cells) == (50, 100, 2)
    assert (large.low, large.high, large.n_cells) == (800, 1600, 1)
    assert large.quartiles["erosion"][1] == pytest.approx(28**2 / 900)
    assert small.survives < large.survives
    quartiles = small.quartiles["mix"]
    assert quartiles[0] <= quartiles[1] <= quartiles[2]
    assert quartiles[0] > small.survives


def test_what_is_too_small_survives_nothing():
    (only,) = annotation_limits([square(2)])
    assert only.survives is None
    assert only.quartiles["erosion"] == (0, 0, 0)
    assert annotation_limits([CellMasks.empty((5, 5))]) == ()


@pytest.mark.real_data
def test_small_real_cells_do_not_hold_the_high_thresholds(real_data):
    truth = read_train_csv(real_data / "sartorius" / "train.csv")
    limits = annotation_limits(image.masks for image in truth.values())
    assert sum(one.n_cells for one in limits) == 2747
    survives = [one.survives for one in limits]
    assert survives == sorted(survives)
    assert max(one.survives for one in limits if one.high is not None and one.high <= 200) <= 0.7
    assert survives[-1] >= 0.85
