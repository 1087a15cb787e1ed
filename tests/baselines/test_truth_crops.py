"""Masks cut out of an image with a warp: where the picture's pixels go, the cells' go too."""

import numpy as np
import pytest

from cellflow.baselines.truth_crops import LEAST_PIXELS, TruthCrop, crop_masks
from cellflow.data.rle import dense_to_masks, labels_to_masks, rle_to_masks
from cellflow.records import CellMasks
from cellflow.targets.flows import labels_to_target
from cellflow.training.augment import PreparedImage, Warp, crop_labels, crop_picture, draw_warp
from cellflow.training.levels import LEVELS

STILL = Warp(
    horizontal_flip=False, vertical_flip=False, angle=0.0, scale=1.0, shift=(0.0, 0.0), shape=(5, 6)
)


def test_an_identity_warp_gives_the_masks_with_their_overlap():
    stack = np.zeros((2, 5, 6), bool)
    stack[0, 1:4, 1:4] = stack[1, 2:5, 2:6] = True
    assert (crop_masks(dense_to_masks(stack), STILL) == stack).all()


def test_a_mask_with_a_run_over_the_end_of_a_row_is_whole():
    masks = rle_to_masks(["5 4"], (5, 6))  # two pixels at the end of row 0, two of row 1
    assert crop_masks(masks, STILL)[0].nonzero()[1].tolist() == [4, 5, 0, 1]


@pytest.mark.parametrize("level", ["flip+resize", "cellpose", "full"])
def test_cells_go_where_their_labels_go(rng, level):
    labels = np.zeros((60, 70), np.int32)
    for number, (y, x) in enumerate(rng.integers(5, 50, (8, 2)), 1):
        labels[y : y + rng.integers(4, 12), x : x + rng.integers(4, 12)] = number
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    prepared = PreparedImage.pack(
        np.zeros((1, 60, 70), np.float32), labels_to_target(labels), labels
    )
    for _ in range(20):
        warp = draw_warp(rng, (60, 70), (48, 64), levers=LEVELS[level], rescale=1.3)
        stack = crop_masks(labels_to_masks(labels), warp)
        expected = crop_labels(prepared, warp)
        assert stack.sum() == (expected > 0).sum()
        for mask in stack[stack.any(axis=(1, 2))]:
            assert len(np.unique(expected[mask > 0])) == 1


def test_the_picture_and_its_cells_stay_together(rng):
    stack = np.zeros((1, 40, 40), bool)
    stack[0, 10:22, 15:30] = True
    warp = draw_warp(rng, (40, 40), (64, 64), levers=LEVELS["cellpose"], rescale=1.5)
    seen = crop_picture(stack.astype(np.float32), warp, 1).image[0]
    mask = crop_masks(dense_to_masks(stack), warp)[0]
    # Bilinear and nearest sampling differ on the edge alone.
    assert ((seen > 0.99) <= (mask > 0)).all()
    assert ((mask > 0) <= (seen > 0.01)).all()


def test_boxes_end_at_the_edges_of_pixels_whose_middles_are_whole_numbers():
    masks = np.zeros((1, 9, 9), np.uint8)
    masks[0, 2:5, 3:8] = 1
    assert TruthCrop.of(masks).boxes.tolist() == [[2.5, 1.5, 7.5, 4.5]]


def test_what_the_border_leaves_of_a_cell_is_no_cell():
    masks = np.zeros((2, 9, 9), np.uint8)
    masks[0, 0, :7] = 1
    masks[1, 1, :LEAST_PIXELS] = 1
    assert len(TruthCrop.of(masks).masks) == 1


def test_no_cells_give_no_cells():
    assert crop_masks(CellMasks.empty((20, 20)), STILL).shape == (0, 5, 6)
    assert TruthCrop.of(np.zeros((0, 5, 6), np.uint8)).boxes.shape == (0, 4)
