"""What flattening costs a perfect model."""

import json

import numpy as np
import pytest

from cellflow.data.coco import read_annotations
from cellflow.data.rle import dense_to_masks
from cellflow.diagnosis.ceilings import policy_ceilings


def overlapping():
    stack = np.zeros((2, 12, 20), bool)
    stack[0, 1:11, 1:11] = True
    stack[1, 4:8, 8:18] = True
    return dense_to_masks(stack)


def test_without_overlap_no_policy_costs_anything():
    stack = np.zeros((2, 8, 8), bool)
    stack[0, :3], stack[1, 5:] = True, True
    assert set(policy_ceilings([dense_to_masks(stack)]).values()) == {1.0}


def test_clearing_overlaps_costs_more_than_giving_them_to_a_cell():
    found = policy_ceilings([overlapping()])
    assert found["drop_overlap"] < found["small_on_top"] < 1


def test_without_images_the_ceiling_is_unknown():
    assert np.isnan(policy_ceilings([])["small_on_top"])


@pytest.mark.real_data
def test_the_ceilings_of_110_real_images_are_those_published(real_data):
    path = real_data / "sartorius/masks_only/coco_compressed_rle_no_images.json"
    masks, _ = read_annotations(json.loads(path.read_text()), path)
    assert len(masks) == 110
    found = policy_ceilings(masks.values())
    # Published on 119 images: 0.978, 0.978, 0.967 and 0.935.
    expected = {
        "small_on_top": 0.9724,
        "nearest_centre": 0.9712,
        "last_wins": 0.9596,
        "drop_overlap": 0.9234,
    }
    assert found == pytest.approx(expected, abs=2e-4)
