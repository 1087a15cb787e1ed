"""What flows can represent: all of a whole cell, only the piece with the centre of a cut one."""

import numpy as np
import pytest

from cellflow.data.coco_truth import read_coco_truth
from cellflow.data.kaggle import read_train_csv
from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.diagnosis.representation import keep_largest_pieces, measure_representation


def test_separate_round_cells_lose_nothing():
    labels = np.zeros((60, 60), np.int32)
    y, x = np.mgrid[:60, :60]
    for k, (row, column) in enumerate([(15, 15), (15, 45), (45, 30)], 1):
        labels[(y - row) ** 2 + (x - column) ** 2 < 100] = k
    found = measure_representation(labels_to_masks(labels))
    assert (found.flattened, found.largest_pieces, found.through_flows) == (1, 1, 1)


def test_a_cell_that_a_smaller_one_cuts_in_two_loses_a_piece():
    stack = np.zeros((2, 40, 60), bool)
    stack[0, 10:22, 5:55], stack[1, 5:28, 36:40] = True, True
    found = measure_representation(dense_to_masks(stack))
    # 31 of 50 columns are left of the long cell, and 15 of them lie on the far side.
    assert found.flattened == pytest.approx((9 * 2 + 1) / 20, abs=0.05)
    assert found.largest_pieces < found.flattened - 0.1
    assert found.through_flows == pytest.approx(found.largest_pieces, abs=0.06)


def test_the_largest_piece_by_edges_is_kept():
    labels = np.array([[1, 1, 0, 2], [1, 0, 1, 0], [0, 0, 1, 0]], np.int32)
    kept = keep_largest_pieces(labels)
    assert kept.tolist() == [[1, 1, 0, 2], [1, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.real_data
@pytest.mark.slow
def test_astro_loses_what_overlap_cuts_off_and_little_else(real_data):
    folder = real_data / "sartorius"
    images = [*read_train_csv(folder / "train.csv").values()]
    more = read_coco_truth(folder / "masks_only" / "coco_compressed_rle_no_images.json")
    astro = [one.masks for one in [*images, *more.values()] if one.cell_type == "astro"]
    assert len(astro) == 28
    found = [measure_representation(masks) for masks in astro]
    means = {
        name: np.mean([getattr(one, name) for one in found])
        for name in ("flattened", "largest_pieces", "through_flows")
    }
    expected = {"flattened": 0.9658, "largest_pieces": 0.9289, "through_flows": 0.9286}
    assert means == pytest.approx(expected, abs=0.002)
