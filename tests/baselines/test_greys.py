"""Grey levels in the networks' units, and back to those of the file."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.baselines.greys import MIDDLE, SPREAD, grey_image, standardize
from cellflow.baselines.settings import ImageSettings
from cellflow.errors import ImageError

FIXED = ImageSettings(grey="fixed", mean=128.0, std=50.0)


@pytest.fixture
def picture(rng):
    return rng.integers(20, 230, (30, 40)).astype(np.uint8)


def whole(grey, settings):
    return standardize(grey.units, np.ones(grey.shape, bool), grey, settings)


def test_fixed_units_are_the_grey_levels_of_the_file(picture):
    grey = grey_image(picture)
    seen = whole(grey, FIXED)
    np.testing.assert_allclose(seen[0], (picture - 128.0) / 50, atol=1e-4)


def test_sixteen_bits_are_brought_to_eight(picture):
    wide = grey_image(picture.astype(np.uint16) * 257)
    seen = whole(wide, FIXED)
    np.testing.assert_allclose(seen[0], (picture - 128.0) / 50, atol=1e-4)


def test_percentile_units_do_not_depend_on_the_range(picture):
    one, other = grey_image(picture), grey_image(picture.astype(np.float32) * 7 + 3)
    settings = ImageSettings(grey="percentile")
    seen = [whole(each, settings) for each in (one, other)]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-4)
    low, high = np.percentile(picture, [1, 99])
    expected = ((picture - low) / (high - low) - MIDDLE) / SPREAD
    np.testing.assert_allclose(seen[0][0], expected, atol=1e-4)


def test_outside_the_picture_all_is_0(picture):
    grey = grey_image(picture)
    inside = np.zeros(picture.shape, bool)
    inside[:10] = True
    for settings in (FIXED, replace(FIXED, grey="percentile")):
        seen = standardize(grey.units, inside, grey, settings)
        assert seen[0][:10].any()
        assert not seen[0][10:].any()


def test_colour_is_the_mean_of_its_channels(picture):
    colour = np.stack([picture, picture // 2, picture // 4])
    grey = grey_image(colour)
    seen = whole(grey, FIXED)
    np.testing.assert_allclose(seen[0], (colour.mean(axis=0) - 128) / 50, atol=1e-4)


def test_a_flat_picture_is_finite():
    grey = grey_image(np.full((8, 9), 77, np.uint8))
    assert np.isfinite(whole(grey, FIXED)).all()
    np.testing.assert_allclose(whole(grey, FIXED), (77 - 128) / 50)


def test_nan_is_refused():
    with pytest.raises(ImageError, match="NaN"):
        grey_image(np.full((4, 4), np.nan, np.float32))
