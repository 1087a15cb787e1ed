"""Cut-out: a hole of a drawn size that shows the mean and does not count."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.training.augment import Crop
from cellflow.training.cutout import cut_hole, draw_hole
from cellflow.training.levels import LEVELS

ALWAYS = replace(LEVELS["none"], cutout=0.5, probability=1.0)


def test_the_hole_shows_the_mean_has_no_weight_and_keeps_the_target():
    crop = Crop.empty(2, (3, 4))
    crop.image[0] = np.arange(12).reshape(3, 4)
    crop.inside[:] = True
    crop.flows[0], crop.cells[:] = 0.5, 1
    cut_hole(crop, (slice(0, 2), slice(1, 3)))
    np.testing.assert_array_equal(
        crop.image[0], [[0, 5.5, 5.5, 3], [4, 5.5, 5.5, 7], [8, 9, 10, 11]]
    )
    np.testing.assert_array_equal(crop.weights, [[1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
    assert not crop.image[1].any()
    assert (crop.flows[0] == 0.5).all()
    assert (crop.cells == 1).all()


def test_holes_lie_in_the_crop_and_reach_every_pixel_of_it(rng):
    covered = np.zeros((20, 30), int)
    for _ in range(500):
        rows, columns = draw_hole(rng, (20, 30), ALWAYS)
        assert 1 <= rows.stop - rows.start <= 10
        assert 1 <= columns.stop - columns.start <= 15
        covered[rows, columns] += 1
    assert covered.min() > 0


def test_without_the_lever_there_is_no_hole_and_with_it_half_of_the_crops_have_one(rng):
    assert draw_hole(rng, (8, 8), replace(ALWAYS, cutout=0.0)) is None
    drawn = [draw_hole(rng, (8, 8), replace(ALWAYS, probability=0.5)) for _ in range(1000)]
    assert np.mean([hole is not None for hole in drawn]) == pytest.approx(0.5, abs=0.06)


def test_a_hole_in_a_crop_outside_any_image_is_nothing(rng):
    crop = Crop.empty(2, (4, 4))
    cut_hole(crop, (slice(0, 2), slice(0, 2)))
    assert not crop.image.any()
