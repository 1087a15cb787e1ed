"""What `check_dataset` sees in data with one fault each."""

import numpy as np
import pytest
from competition_folder import write_competition_folder

from cellflow.data.check import check_dataset
from cellflow.data.kaggle import open_kaggle


def folder(tmp_path, stacks, pictures=None):
    """A competition folder with one image a stack of masks."""
    images = []
    for number, stack in enumerate(stacks):
        stack = np.asarray(stack, bool)
        picture = np.full(stack.shape[1:], number, np.uint8)
        if pictures is not None:
            picture = pictures[number]
        images.append((f"i{number}", picture, stack, {"cell_type": "cort"}))
    return open_kaggle(write_competition_folder(tmp_path, images))


def stack(*boxes, shape=(20, 30)):
    masks = np.zeros((len(boxes), *shape), bool)
    for mask, (top, bottom, left, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def facts_of(tmp_path, masks):
    report = check_dataset(folder(tmp_path, [masks]))
    assert report.problems == ()
    return report, report.per_cell_type["cort"]


def test_overlaps_duplicates_tiny_and_huge_cells_are_counted(tmp_path):
    masks = stack((0, 5, 0, 5), (4, 9, 4, 9), (12, 14, 12, 14), (12, 14, 12, 14), (0, 20, 10, 29))
    report, facts = facts_of(tmp_path, masks)
    assert (facts.n_images, facts.most_cells) == (1, 5)
    assert facts.areas == [25, 25, 4, 4, 380]
    # The two small squares share a pixel; the two tiny ones are the same and lie in the huge one.
    assert (facts.n_overlapping, facts.n_duplicates, facts.n_tiny, facts.n_huge) == (5, 1, 2, 1)
    assert "image i0: drawn twice: 1 mask" in report.remarks
    assert "image i0: larger than 40% of the image: 1 cell" in report.remarks


def test_holes_and_parts_are_counted(tmp_path):
    masks = stack((0, 5, 0, 5), (10, 15, 0, 5), (0, 3, 20, 23))
    masks[0, 2, 2] = False
    masks[1, 18, 28] = True
    _, facts = facts_of(tmp_path, masks)
    assert (facts.n_holes, facts.n_parts, facts.n_overlapping) == (1, 1, 0)


def test_an_image_without_cells_and_one_cell_that_fills_it(tmp_path):
    report = check_dataset(folder(tmp_path, [stack(), stack((0, 20, 0, 30))]))
    assert report.problems == ()
    assert report.per_cell_type["cort"].n_huge == 1
    assert "0" in report.table()


def test_a_one_pixel_cell_is_tiny_and_no_error(tmp_path):
    _, facts = facts_of(tmp_path, stack((3, 4, 3, 4)))
    assert (facts.n_tiny, facts.areas) == (1, [1])


def test_broken_pictures_are_problems_and_the_rest_is_checked(tmp_path):
    data = folder(tmp_path, [stack((0, 5, 0, 5))] * 3)
    path = tmp_path / "train/i1.png"
    path.write_bytes(path.read_bytes()[:40])
    report = check_dataset(data)
    assert len(report.problems) == 1
    assert "i1.png" in report.problems[0]
    assert report.per_cell_type["cort"].n_images == 2


def test_equal_pictures_and_mixed_sizes_are_remarks(tmp_path):
    same = np.full((20, 30), 9, np.uint8)
    small = stack((0, 5, 0, 5), shape=(10, 30))
    data = folder(tmp_path, [stack(), stack(), small], [same, same, np.zeros((10, 30), np.uint8)])
    remarks = check_dataset(data).remarks
    assert "the same picture: i0, i1" in remarks
    assert "images differ in size: 2 of 20x30, 1 of 10x30" in remarks


@pytest.mark.real_data
def test_the_real_images_are_as_known(real_data):
    report = check_dataset(open_kaggle(real_data / "sartorius"))
    assert report.problems == ()
    assert sum(len(facts.areas) for facts in report.per_cell_type.values()) == 2747
