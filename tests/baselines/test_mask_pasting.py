"""Small masks in boxes become the pixels whose middles they cover."""

import numpy as np
import pytest

from cellflow.baselines.mask_pasting import paste_masks
from cellflow.data.rle import masks_to_dense


def paste(mask, box, shape=(12, 14), threshold=0.5):
    cells, kept = paste_masks(
        np.asarray(mask, np.float32)[None], np.array([box], np.float32), shape, threshold
    )
    return masks_to_dense(cells)[0] if len(kept) else np.zeros(shape, bool)


def test_a_full_mask_fills_the_pixels_whose_middles_lie_in_the_box():
    pasted = paste(np.ones((28, 28)), [2.5, 1.5, 7.5, 4.5])
    expected = np.zeros((12, 14), bool)
    expected[2:5, 3:8] = True
    assert (pasted == expected).all()


def test_the_box_may_begin_between_two_pixels():
    pasted = paste(np.ones((4, 4)), [2.6, 1.4, 7.4, 4.6])
    expected = np.zeros((12, 14), bool)
    expected[2:5, 3:8] = True
    assert (pasted == expected).all()


@pytest.mark.parametrize("shift", [-0.4, 0.1, 0.4])
def test_a_disc_comes_back_without_a_shift(shift):
    side, radius, middle = 28, 11.0, 15.0 + shift
    at = (np.arange(side) + 0.5) / side * 2 * radius - radius
    mask = (np.hypot(at[:, None], at[None]) <= radius).astype(np.float32)
    box = [middle - radius, middle - radius, middle + radius, middle + radius]
    pasted = paste(mask, box, (32, 32))
    y, x = np.mgrid[:32, :32]
    exact = np.hypot(y - middle, x - middle) <= radius
    assert (pasted & exact).sum() > 0.97 * (pasted | exact).sum()
    assert pasted.nonzero()[0].mean() == pytest.approx(exact.nonzero()[0].mean(), abs=0.15)


def test_what_lies_outside_the_image_is_left_out():
    pasted = paste(np.ones((28, 28)), [-3.5, -3.5, 1.5, 30.0])
    assert pasted[:, :2].all()
    assert not pasted[:, 2:].any()


def test_a_row_that_goes_on_in_the_next_one_is_one_run():
    cells, _ = paste_masks(
        np.ones((1, 28, 28), np.float32), np.array([[-0.5, -0.5, 13.5, 11.5]], np.float32),
        (12, 14), 0.5,
    )  # fmt: skip
    assert cells.lengths.tolist() == [12 * 14]


def test_cells_without_a_pixel_are_left_out():
    masks = np.stack([np.zeros((28, 28)), np.ones((28, 28)), np.ones((28, 28))]).astype(np.float32)
    boxes = np.array([[1, 1, 5, 5], [1, 1, 5, 5], [3.2, 3.2, 3.4, 3.4]], np.float32)
    cells, kept = paste_masks(masks, boxes, (12, 14), 0.5)
    assert kept.tolist() == [1]
    assert len(cells) == 1


def test_no_boxes_give_no_cells():
    cells, kept = paste_masks(
        np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), (12, 14), 0.5
    )
    assert (len(cells), len(kept), cells.shape) == (0, 0, (12, 14))


def test_a_checkered_mask_fits_into_its_room():
    mask = np.indices((28, 28)).sum(axis=0) % 2
    pasted = paste(mask, [-0.5, -0.5, 27.5, 27.5], (28, 28))
    assert (pasted == mask).all()
