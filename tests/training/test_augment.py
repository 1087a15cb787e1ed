"""Crops: the transform and the labels-to-flows step commute, and Cellpose draws the same ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellflow.records import FlowTarget
from cellflow.targets.flows import labels_to_target
from cellflow.training.augment import FLOW_UNITS, PreparedImage, Warp, crop_image, draw_warp

INPUT_CHANNELS = 2


def warp(*, flip=False, angle=0.0, scale=1.0, shift=(0.0, 0.0), size=32):
    return Warp(flip=flip, angle=angle, scale=scale, shift=shift, size=size)


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


@settings(max_examples=20)
@given(
    flip=st.booleans(),
    angle=st.floats(0, 2 * np.pi),
    scale=st.floats(0.8, 2.5),
    offset=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_flows_of_a_disc_point_to_its_moved_centre_whatever_the_warp(flip, angle, scale, offset):
    y, x = np.mgrid[:41, :41]
    disc = ((y - 17) ** 2 + (x - 25) ** 2 <= 64).astype(np.int32)
    moved = warp(flip=flip, angle=angle, scale=scale, shift=offset, size=96)
    crop = crop_image(prepared(disc), moved)
    inside = np.argwhere((crop.cells > 0) & (np.hypot(*crop.flows) > 0.9))
    centre = np.argwhere(crop.cells > 0).mean(0)
    towards = centre - inside
    distance = np.hypot(*towards.T)
    far = distance > 3 * scale
    flows = crop.flows[:, inside[:, 0], inside[:, 1]].T
    cosine = (flows * towards).sum(1)[far] / distance[far]
    assert cosine.mean() > 0.97


def test_an_image_smaller_than_the_crop_lies_in_its_middle_on_zeros():
    labels = np.ones((8, 6), np.int32)
    crop = crop_image(prepared(labels), warp(size=16))
    np.testing.assert_array_equal(np.flatnonzero(crop.image[0].any(1)), np.arange(4, 12))
    np.testing.assert_array_equal(np.flatnonzero(crop.image[0].any(0)), np.arange(5, 11))
    assert crop.image[0].sum() == crop.cells.sum() == 48


def test_a_small_image_is_never_shifted_and_a_large_one_stays_within_its_borders(rng):
    for _ in range(20):
        assert draw_warp(rng, (20, 30), 64).shift == (0, 0)
        drawn = draw_warp(rng, (200, 300), 64, rescale=2.0)
        assert 1.5 <= drawn.scale <= 2.5
        assert abs(drawn.shift[0]) <= (200 * drawn.scale - 64) / 2
        assert abs(drawn.shift[1]) <= (300 * drawn.scale - 64) / 2


def test_one_pixel_images_and_images_without_cells_give_crops(rng):
    for shape in ((1, 1), (40, 30)):
        source = prepared(np.zeros(shape, np.int32), np.ones((1, *shape), np.float32))
        crop = crop_image(source, draw_warp(rng, shape, 32))
        assert crop.image.shape == (INPUT_CHANNELS, 32, 32)
        assert not crop.cells.any()
        assert not crop.flows.any()


def test_a_single_cell_may_fill_the_image(rng):
    crop = crop_image(prepared(np.ones((64, 64), np.int32)), warp(angle=0.3, size=32))
    assert crop.cells.all()
    assert np.isfinite(crop.flows).all()


def test_equal_generators_draw_equal_warps():
    first, second = (draw_warp(np.random.default_rng(5), (99, 88), 64) for _ in range(2))
    assert first == second


def test_packing_keeps_only_channels_that_hold_something(labels):
    packed = prepared(labels)
    assert packed.image.shape[0] == 1
    assert packed.n_channels == 2
    assert packed.n_bytes == labels.size * 9


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
            flip, turn, zoom, x, y = np.random.rand(n)  # noqa: NPY002
            return np.array([flip, turn, zoom, y, x])

    np.random.seed(seed)  # noqa: NPY002
    crop = crop_image(source, draw_warp(CellposeOrder(), big.shape, 96, rescale=0.8))
    np.random.seed(seed)  # noqa: NPY002
    stacked = np.concatenate([target.cells[None], target.flows]).astype(np.float32)
    images, targets, _ = random_rotate_and_resize(
        [image], [stacked], rescale=[1 / 0.8], scale_range=0.5, xy=(96, 96)
    )
    # OpenCV rounds the sampling points to 1/32 pixel.
    assert np.abs(images[0, 0] - crop.image[0]).mean() < 0.005
    assert np.abs(targets[0, 1:] - crop.flows).mean() < 0.005
    assert np.mean(targets[0, 0] != crop.cells) < 0.005
