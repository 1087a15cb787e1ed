"""Grey levels: each lever does what its name says, inside the image alone."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.training.augment import Crop
from cellflow.training.levels import LEVELS
from cellflow.training.photometry import Photometry, apply_photometry, draw_photometry


def a_crop(plane, inside=None):
    crop = Crop.empty(2, plane.shape)
    crop.image[0] = plane
    crop.inside[:] = True if inside is None else inside
    return crop


def applied(plane, inside=None, **levers):
    crop = a_crop(np.array(plane, np.float32), inside)
    apply_photometry(crop, Photometry(**levers), np.random.default_rng(0))
    assert not crop.image[1].any()
    return crop.image[0]


def test_nothing_drawn_changes_nothing(rng):
    plane = rng.random((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(applied(plane), plane)


def test_brightness_is_added():
    np.testing.assert_allclose(applied([[0.2, 0.4]], brightness=0.1), [[0.3, 0.5]], rtol=1e-6)


def test_contrast_stretches_about_the_mean():
    np.testing.assert_allclose(applied([[0.2, 0.6]], contrast=1.5), [[0.1, 0.7]], rtol=1e-6)


def test_gamma_bends_the_middle_and_keeps_the_range():
    np.testing.assert_allclose(applied([[1.0, 2.0, 3.0]], gamma=2.0), [[1.0, 1.5, 3.0]], rtol=1e-6)


def test_a_flat_picture_has_no_range_to_bend():
    np.testing.assert_array_equal(applied([[2.0, 2.0]], gamma=2.0), [[2.0, 2.0]])


def test_illumination_is_a_ramp_through_the_middle():
    shown = applied(np.ones((3, 5)), slope=(0.0, 0.5))
    np.testing.assert_allclose(shown, np.tile([0.5, 0.75, 1.0, 1.25, 1.5], (3, 1)), rtol=1e-6)
    shown = applied(np.ones((3, 5)), slope=(0.5, 0.0))
    np.testing.assert_allclose(shown, np.tile([[0.5], [1.0], [1.5]], 5), rtol=1e-6)


def test_blur_spreads_a_point_and_keeps_the_sum():
    plane = np.zeros((21, 21), np.float32)
    plane[10, 10] = 1
    blurred = applied(plane, blur=1.5)
    assert blurred.sum() == pytest.approx(1, rel=1e-4)
    expected = np.exp(-(np.arange(-3, 4) ** 2) / 2 / 1.5**2)
    np.testing.assert_allclose(blurred[10, 7:14] / blurred[10, 10], expected, rtol=0.01)


def test_noise_has_the_standard_deviation_that_was_drawn():
    plane = np.full((200, 200), 3.0, np.float32)
    noise = applied(plane, noise=0.25) - plane
    assert noise.std() == pytest.approx(0.25, rel=0.02)
    assert abs(noise.mean()) < 0.005


ALL = Photometry(gamma=1.2, contrast=1.3, brightness=0.2, slope=(0.1, 0.2), blur=1.0, noise=0.1)


def test_outside_the_image_all_stays_zero_and_does_not_leak_in(rng):
    inside = np.zeros((12, 12), np.bool_)
    inside[:, :7] = True
    plane = np.where(inside, 0.5 + rng.random((12, 12)), 0).astype(np.float32)
    crop = a_crop(plane, inside)
    apply_photometry(crop, ALL, rng)
    assert not crop.image[0][~inside].any()
    blurred = applied(np.where(inside, 0.5, 0), inside, blur=2.0)
    np.testing.assert_allclose(blurred[inside], 0.5, rtol=1e-5)


def test_the_target_is_left_alone(rng):
    crop = a_crop(rng.random((16, 16)).astype(np.float32))
    crop.flows[:] = rng.random((2, 16, 16))
    crop.cells[:, :8] = 1
    before = crop.flows.copy(), crop.cells.copy(), crop.weights.copy()
    apply_photometry(crop, ALL, rng)
    for was, now in zip(before, (crop.flows, crop.cells, crop.weights), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_crop_outside_any_image_survives(rng):
    crop = a_crop(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.bool_))
    apply_photometry(crop, ALL, rng)
    assert not crop.image.any()


def test_without_levers_nothing_is_drawn_and_with_them_half_of_the_crops_are_touched(rng):
    assert draw_photometry(rng, LEVELS["cellpose"]) == Photometry()
    drawn = [draw_photometry(rng, LEVELS["full"]) for _ in range(2000)]
    for name, neutral, least, most in (
        ("contrast", 1, 0.7, 1.3), ("brightness", 0, -0.2, 0.2), ("gamma", 1, 1 / 1.3, 1.3),
        ("blur", 0, 0, 1), ("noise", 0, 0, 0.05),
    ):  # fmt: skip
        values = np.array([getattr(one, name) for one in drawn])
        assert np.mean(values != neutral) == pytest.approx(0.5, abs=0.05), name
        np.testing.assert_allclose([values.min(), values.max()], [least, most], atol=0.01)
    ramps = np.array([np.hypot(*one.slope) for one in drawn])
    assert np.mean(ramps > 0) == pytest.approx(0.5, abs=0.05)
    assert ramps.max() <= 0.2


def test_a_lever_that_is_switched_off_leaves_the_others_draws_as_they_are():
    full = LEVELS["full"]
    one, other = (
        draw_photometry(np.random.default_rng(3), levers)
        for levers in (full, replace(full, gamma=0.0, noise=0.0, probability=1.0))
    )
    certain = draw_photometry(np.random.default_rng(3), replace(full, probability=1.0))
    assert replace(certain, gamma=1.0, noise=0.0) == other
    assert one.contrast in (1.0, certain.contrast)
