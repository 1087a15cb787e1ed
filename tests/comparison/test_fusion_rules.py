"""Several sets of cells to one, without overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cellflow.comparison.fusion_rules import FusionRule, all_rules, fuse_cells
from cellflow.data.rle import labels_to_masks, masks_to_dense, masks_to_rle, rle_to_masks
from cellflow.inference.overlap_rules import has_overlap
from cellflow.records import Detections

WIDTH = 60


def found(runs, scores=None, width=WIDTH):
    return Detections(
        name="x",
        masks=rle_to_masks(runs, (1, width)),
        scores=None if scores is None else np.array(scores, np.float32),
    )


def fused(rule, *methods):
    return masks_to_rle(fuse_cells(FusionRule(**rule), methods))


A, B = found(["1 10", "21 10"]), found(["2 10", "41 10"])


def test_alone_leaves_a_method_as_it_is():
    assert fused({"kind": "alone", "leading": 1}, A, B) == ["2 10", "41 10"]


def test_fill_in_adds_what_the_leading_method_has_missed():
    assert fused({"kind": "fill_in", "leading": 0}, A, B) == ["1 10", "21 10", "41 10"]
    assert fused({"kind": "fill_in", "leading": 1}, A, B) == ["2 10", "41 10", "21 10"]


def test_fill_in_cuts_what_is_half_free_and_leaves_out_the_rest():
    half, less = found(["6 10"]), found(["5 10"])
    assert fused({"kind": "fill_in", "leading": 0}, found(["1 10"]), half) == ["1 10", "11 5"]
    assert fused({"kind": "fill_in", "leading": 0}, found(["1 10"]), less) == ["1 10"]


def test_fill_in_goes_by_falling_score_within_a_method():
    other = found(["1 6", "5 6"], [0.2, 0.9])
    assert fused({"kind": "fill_in", "leading": 0}, found([]), other) == ["5 6", "1 4"]


def test_two_methods_vote_with_the_leading_ones_masks():
    assert fused({"kind": "vote", "leading": 0, "least_votes": 2}, A, B) == ["1 10"]
    assert fused({"kind": "vote", "leading": 1, "least_votes": 2}, A, B) == ["2 10"]
    # First what both found, then what one did, by rank: both are second of their method.
    assert fused({"kind": "vote", "leading": 0}, A, B) == ["1 10", "21 10", "41 10"]


def test_three_methods_vote_on_every_pixel():
    three = found(["1 10"]), found(["3 10"]), found(["5 9"])
    assert fused({"kind": "vote", "leading": 0, "least_votes": 3}, *three) == ["3 10"]
    # Pixels 3 and 4: first and second. 11 and 12: second and third. 13: the third alone.


def test_the_leading_method_never_outvotes_two_others():
    two_agree = found(["1 10"]), found(["3 10"]), found(["3 10"])
    assert fused({"kind": "vote", "leading": 0, "least_votes": 2}, *two_agree) == ["3 10"]


def test_a_method_has_one_vote_on_a_cell():
    # Both halves of B lie in the cell of A, but neither is it by IoU above one half.
    split = found(["1 5", "6 5"])
    assert fused({"kind": "vote", "leading": 0, "least_votes": 2}, found(["1 10"]), split) == []


def test_the_best_partner_is_taken_where_two_would_do():
    # Overlapping cells of two methods: a pair of IoU 1 beside one of IoU 0.6.
    first, second = found(["1 10"]), found(["1 10"])
    third = found(["1 6"])
    result = fused({"kind": "vote", "leading": 2, "least_votes": 3}, first, second, third)
    assert result == ["1 10"]


def test_there_is_a_rule_for_every_leading_method_and_every_number_of_votes():
    rules = all_rules(3)
    assert len(rules) == len(set(rules)) == 3 + 3 + 9
    assert [rule.kind for rule in rules[:4]] == ["alone"] * 3 + ["fill_in"]
    names = ["a", "b", "c"]
    assert rules[1].describe(names) == "b alone"
    assert rules[3].describe(names) == "a, filled in by the others"
    assert rules[-1].describe(names) == "vote, cells of 3 or more, ties to c"
    assert rules[6].describe(names) == "vote, cells of any, ties to a"


label_images = arrays.arrays(np.int32, (4, 7), elements=st.integers(0, 3))


@settings(max_examples=60)
@given(images=st.lists(label_images, min_size=1, max_size=5), seed=st.integers(0, 99))
def test_no_rule_gives_a_pixel_twice_or_one_that_nobody_found(images, seed):
    rng = np.random.default_rng(seed)
    methods = []
    for image in images:
        masks = labels_to_masks(image)
        scores = rng.random(len(masks)).astype(np.float32) if rng.random() < 0.5 else None
        methods.append(Detections(name="x", masks=masks, scores=scores))
    covered = np.stack([image > 0 for image in images])
    for rule in all_rules(len(images)):
        cells = fuse_cells(rule, methods)
        assert not has_overlap(cells)
        pixels = masks_to_dense(cells).any(axis=0)
        assert not (pixels & ~covered.any(axis=0)).any()
        if rule.kind == "vote" and rule.least_votes == len(images) >= 3:
            assert (covered.sum(axis=0)[pixels] >= 2).all()


@given(image=label_images)
def test_methods_that_agree_are_fused_to_what_they_say(image):
    masks = labels_to_masks(image)
    methods = [Detections(name="x", masks=masks)] * 3
    for rule in all_rules(3):
        assert sorted(masks_to_rle(fuse_cells(rule, methods))) == sorted(masks_to_rle(masks))


@pytest.mark.parametrize("n_methods", [1, 2, 4])
def test_images_without_cells_stay_empty(n_methods):
    for rule in all_rules(n_methods):
        assert len(fuse_cells(rule, [found([])] * n_methods)) == 0
