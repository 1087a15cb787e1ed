"""Crops: the transform and the labels-to-flows step commute, and Cellpose draws the same ones."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from cellflow.records import FlowTarget
from cellflow.targets.flows import labels_to_target
from cellflow.training.augment import (
    FLOW_UNITS,
    PreparedImage,
    Warp,
    crop_image,
    crop_labels,
    draw_warp,
)
from cellflow.training.levels import LEVELS

INPUT_CHANNELS = 2


def warp(*, flip=False, upside_down=False, angle=0.0, scale=1.0, shift=(0.0, 0.0), size=32):
    return Warp(
        horizontal_flip=flip,
        vertical_flip=upside_down,
        angle=angle,
        scale=scale,
        shift=shift,
        shape=(size, size),
    )


def drawn_warp(rng, shape, size, level="cellpose", **options):
    return draw_warp(rng, shape, (size, size), levers=LEVELS[level], **options)


def prepared(labels, image=None):
    image = labels[None].astype(np.float32) if image is None else image
    network_input = np.zeros((INPUT_CHANNELS, *labels.shape), np.float32)
    network_input[: len(image)] = image
    return PreparedImage.pack(network_input, labels_to_target(labels))


@pytest.fixture
def labels():
    drawn = np.zeros((32, 32), np.int32)
    drawn[4:13, 3:10] = 1
    drawn[4:11, 10:20] = 2
    drawn[20:31, 18:29] = 3
    drawn[25, 5] = 4
    return drawn


def test_the_identity_gives_image_flows_and_cells_back(labels):
    crop = crop_image(prepared(labels), warp())
    target = labels_to_target(labels)
    np.testing.assert_array_equal(crop.image[0], labels)
    np.testing.assert_array_equal(crop.image[1], 0)
    np.testing.assert_allclose(crop.flows, target.flows, atol=1 / FLOW_UNITS)
    np.testing.assert_array_equal(crop.cells, labels > 0)


def test_a_flip_mirrors_the_picture_and_changes_the_sign_of_dx_only():
    flows = np.zeros((2, 3, 3), np.float32)
    flows[:, 1, 0] = 0.6, 0.8
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    source = PreparedImage.pack(image, FlowTarget(flows=flows, cells=flows[0] > 0))
    crop = crop_image(source, warp(flip=True, size=3))
    np.testing.assert_array_equal(crop.image[0], [[2, 1, 0], [5, 4, 3], [8, 7, 6]])
    np.testing.assert_allclose(crop.flows[:, 1, 2], [0.6, -0.8], atol=1e-4)
    np.testing.assert_array_equal(crop.cells, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("n_turns", [0, 1, 2, 3])
def test_turning_the_flows_gives_the_flows_of_the_turned_labels(labels, flip, n_turns):
    # The middle is H / 2, so that quarter turns move the picture by one pixel: centre it anew.
    shift = [(0.0, 0.0), (0.0, -1.0), (-1.0, -1.0), (-1.0, 0.0)][n_turns]
    turned = warp(flip=flip, angle=n_turns * np.pi / 2, shift=shift)
    crop = crop_image(prepared(labels), turned)
    moved = np.rot90(labels[:, ::-1] if flip else labels, -n_turns)
    np.testing.assert_allclose(crop.image[0], moved, atol=1e-5)
    expected = labels_to_target(np.ascontiguousarray(moved))
    np.testing.assert_array_equal(crop.cells, expected.cells)
    # A centre that ties between two pixels may move by one when the raster order changes.
    cosine = (crop.flows * expected.flows).sum(0)[expected.cells]
    assert np.mean(cosine) > 0.97


def test_a_vertical_flip_mirrors_the_picture_and_changes_the_sign_of_dy_only():
    flows = np.zeros((2, 3, 3), np.float32)
    flows[:, 0, 1] = 0.6, 0.8
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    source = PreparedImage.pack(image, FlowTarget(flows=flows, cells=flows[0] > 0))
    crop = crop_image(source, warp(upside_down=True, size=3))
    np.testing.assert_array_equal(crop.image[0], [[6, 7, 8], [3, 4, 5], [0, 1, 2]])
    np.testing.assert_allclose(crop.flows[:, 2, 1], [-0.6, 0.8], atol=1e-4)
    np.testing.assert_array_equal(crop.cells, [[0, 0, 0], [0, 0, 0], [0, 1, 0]])


def scattered_cells(seed, side=48):
    """Up to nine ellipses of any size and direction, which may touch and cut each other."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for value in range(1, rng.integers(2, 10)):
        (cy, cx), (a, b) = rng.uniform(8, side - 8, 2), rng.uniform(3, 8, 2)
        turn = rng.uniform(0, np.pi)
        u = np.cos(turn) * (y - cy) + np.sin(turn) * (x - cx)
        v = np.cos(turn) * (x - cx) - np.sin(turn) * (y - cy)
        labels[(u / a) ** 2 + (v / b) ** 2 <= 1] = value
    return labels


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    flip=st.booleans(),
    upside_down=st.booleans(),
    n_turns=st.integers(0, 3),
    scale=st.sampled_from([0.75, 1.0, 1.5, 2.0]),
)
@example(seed=11810, flip=False, upside_down=False, n_turns=0, scale=2.0)
@example(seed=11811, flip=False, upside_down=False, n_turns=0, scale=2.0)
@example(seed=586449498, flip=False, upside_down=False, n_turns=0, scale=0.75)
def test_flows_of_warped_labels_are_the_warped_flows_of_the_labels(
    seed, flip, upside_down, n_turns, scale
):
    """Tolerance: mean cosine over 0.9, away from touching cells, whose flows the sampling mixes.

    The rest is the grid: a centre falls on another pixel when cells are resampled. Of 4,000 random
    scenes the lowest had 0.934.
    """
    labels = scattered_cells(seed)
    moved = warp(
        flip=flip, upside_down=upside_down, angle=n_turns * np.pi / 2, scale=scale, size=112
    )
    source = replace(prepared(labels), labels=labels)
    crop, warped = crop_image(source, moved), crop_labels(source, moved)
    np.testing.assert_array_equal(crop.cells, warped > 0)
    expected = labels_to_target(warped)
    size = np.bincount(warped.ravel())
    certain = (size[warped] > 60) & (np.hypot(*crop.flows) > 0.9) & expected.cells
    cosine = (crop.flows * expected.flows).sum(0)[certain]
    assert cosine.size == 0 or np.mean(cosine) > 0.9
    # As in Cellpose, sampling lets the image's edge fade over one of its pixels.
    faded = ndimage.binary_dilation(crop.inside, np.ones((3, 3)), iterations=2)
    assert not crop.flows[:, ~faded].any()


@settings(max_examples=20)
@given(
    flip=st.booleans(),
    upside_down=st.booleans(),
    angle=st.floats(0, 2 * np.pi),
    scale=st.floats(0.8, 2.5),
    offset=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_flows_of_a_disc_point_to_its_moved_centre_whatever_the_warp(
    flip, upside_down, angle, scale, offset
):
    y, x = np.mgrid[:41, :41]
    disc = ((y - 17) ** 2 + (x - 25) ** 2 <= 64).astype(np.int32)
    moved = warp(
        flip=flip, upside_down=upside_down, angle=angle, scale=scale, shift=offset, size=96
    )
    crop = crop_image(prepared(disc), moved)
    inside = np.argwhere((crop.cells > 0) & (np.hypot(*crop.flows) > 0.9))
    centre = np.argwhere(crop.cells > 0).mean(0)
    towards = centre - inside
    distance = np.hypot(*towards.T)
    far = distance > 3 * scale
    flows = crop.flows[:, inside[:, 0], inside[:, 1]].T
    cosine = (flows * towards).sum(1)[far] / distance[far]
    assert cosine.mean() > 0.97


@pytest.mark.parametrize(
    ("level", "flips", "upside_down", "angles", "scales"),
    [
        ("none", {False}, {False}, 0, (1, 1)),
        ("flip+resize", {False, True}, {False}, 0, (0.75, 1.25)),
        ("report", {False, True}, {False, True}, 0, (0.5, 1.5)),
        ("cellpose", {False, True}, {False}, 2 * np.pi, (0.75, 1.25)),
        ("full", {False, True}, {False, True}, 2 * np.pi, (0.5, 1.5)),
    ],
)
def test_each_level_draws_its_geometry(rng, level, flips, upside_down, angles, scales):
    warps = [drawn_warp(rng, (500, 400), 64, level) for _ in range(400)]
    assert {one.horizontal_flip for one in warps} == flips
    assert {one.vertical_flip for one in warps} == upside_down
    assert np.ptp([one.angle for one in warps]) == pytest.approx(angles, rel=0.03)
    seen = np.array([one.scale for one in warps])
    np.testing.assert_allclose([seen.min(), seen.max()], scales, atol=0.02)


def test_limited_turns_go_to_both_sides_and_quarter_turns_to_four(rng):
    limited = replace(LEVELS["none"], rotation=30.0)
    quarters = replace(LEVELS["none"], quarter_turns=True)
    for levers, expected in ((limited, None), (quarters, [0, 90, 180, 270])):
        drawn = [draw_warp(rng, (99, 99), (32, 32), levers=levers).angle for _ in range(300)]
        degrees = np.degrees(drawn)
        if expected:
            np.testing.assert_allclose(np.unique(degrees), expected)
        else:
            assert -30 <= degrees.min() < -28
            assert 28 < degrees.max() <= 30


@given(seed=st.integers(0, 2**32))
def test_the_default_draws_are_cellposes_five_in_their_order(seed):
    flip, turn, zoom, y, x = np.random.default_rng(seed).random(5)
    drawn = drawn_warp(np.random.default_rng(seed), (300, 200), 64, rescale=1.5)
    scale = 1.5 * (1 - 0.5 / 2 + 0.5 * zoom)
    assert drawn == Warp(
        horizontal_flip=flip > 0.5,
        vertical_flip=False,
        angle=2 * np.pi * turn,
        scale=scale,
        shift=((y - 0.5) * max(0, 300 * scale - 64), (x - 0.5) * max(0, 200 * scale - 64)),
        shape=(64, 64),
    )


def test_switching_a_lever_on_leaves_the_other_draws_as_they_are():
    one, other = (
        draw_warp(np.random.default_rng(4), (300, 200), (64, 64), levers=levers)
        for levers in (LEVELS["cellpose"], replace(LEVELS["cellpose"], vertical_flip=1.0))
    )
    assert replace(one, vertical_flip=True) == other


def test_a_piece_may_be_oblong(labels):
    moved = replace(warp(shift=(-6.0, 4.0)), shape=(10, 20))
    crop = crop_image(prepared(labels), moved)
    np.testing.assert_array_equal(crop.image[0], labels[17:27, 2:22])


def test_an_image_smaller_than_the_crop_lies_in_its_middle_on_zeros():
    labels = np.ones((8, 6), np.int32)
    crop = crop_image(prepared(labels), warp(size=16))
    np.testing.assert_array_equal(np.flatnonzero(crop.image[0].any(1)), np.arange(4, 12))
    np.testing.assert_array_equal(np.flatnonzero(crop.image[0].any(0)), np.arange(5, 11))
    assert crop.image[0].sum() == crop.cells.sum() == crop.inside.sum() == 48


def test_a_small_image_is_never_shifted_and_a_large_one_stays_within_its_borders(rng):
    for _ in range(20):
        assert drawn_warp(rng, (20, 30), 64).shift == (0, 0)
        drawn = drawn_warp(rng, (200, 300), 64, rescale=2.0)
        assert 1.5 <= drawn.scale <= 2.5
        assert abs(drawn.shift[0]) <= (200 * drawn.scale - 64) / 2
        assert abs(drawn.shift[1]) <= (300 * drawn.scale - 64) / 2


def test_one_pixel_images_and_images_without_cells_give_crops(rng):
    for shape in ((1, 1), (40, 30)):
        source = prepared(np.zeros(shape, np.int32), np.ones((1, *shape), np.float32))
        crop = crop_image(source, drawn_warp(rng, shape, 32))
        assert crop.image.shape == (INPUT_CHANNELS, 32, 32)
        assert not crop.cells.any()
        assert not crop.flows.any()


def test_a_single_cell_may_fill_the_image(rng):
    crop = crop_image(prepared(np.ones((64, 64), np.int32)), warp(angle=0.3, size=32))
    assert crop.cells.all()
    assert np.isfinite(crop.flows).all()


def test_equal_generators_draw_equal_warps():
    first, second = (drawn_warp(np.random.default_rng(5), (99, 88), 64) for _ in range(2))
    assert first == second


def test_packing_keeps_only_channels_that_hold_something(labels):
    packed = prepared(labels)
    assert packed.image.shape[0] == 1
    assert packed.n_channels == 2
    assert packed.n_bytes == labels.size * 9
    with_labels = PreparedImage.pack(packed.image, labels_to_target(labels), labels)
    assert with_labels.n_bytes == labels.size * 13


@pytest.mark.reference
@pytest.mark.parametrize("seed", range(6))
def test_cellpose_cuts_the_same_crop_for_the_same_draws(labels, seed):
    from cellpose.transforms import random_rotate_and_resize

    rng = np.random.default_rng(seed)
    big = np.kron(labels, np.ones((8, 8), np.int32))
    image = rng.random((1, 33, 33)).astype(np.float32)
    image = np.kron(image, np.ones((8, 8), np.float32))[:, :256, :256]
    source = prepared(big, image)
    target = labels_to_target(big)

    class CellposeOrder:
        """Draws from the same stream as Cellpose: flip, turn, zoom, then x before y."""

        def random(self, n):
            if n == 2:  # what only other levels use
                return np.zeros(n)
            flip, turn, zoom, x, y = np.random.rand(n)  # noqa: NPY002
            return np.array([flip, turn, zoom, y, x])

    np.random.seed(seed)  # noqa: NPY002
    crop = crop_image(source, drawn_warp(CellposeOrder(), big.shape, 96, rescale=0.8))
    np.random.seed(seed)  # noqa: NPY002
    stacked = np.concatenate([target.cells[None], target.flows]).astype(np.float32)
    images, targets, _ = random_rotate_and_resize(
        [image], [stacked], rescale=[1 / 0.8], scale_range=0.5, xy=(96, 96)
    )
    # OpenCV rounds the sampling points to 1/32 pixel.
    assert np.abs(images[0, 0] - crop.image[0]).mean() < 0.005
    assert np.abs(targets[0, 1:] - crop.flows).mean() < 0.005
    assert np.mean(targets[0, 0] != crop.cells) < 0.005
