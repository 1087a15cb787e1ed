"""Detections made comparable, and what that costs."""

import numpy as np
import pytest

from cellflow.comparison.importers import MethodOutput
from cellflow.comparison.preparation import _cost, image_folds, prepare
from cellflow.config import ComparisonConfig
from cellflow.data.dataset import TrueImage
from cellflow.data.rle import masks_to_rle, rle_to_masks
from cellflow.inference.overlap_rules import resolve_overlap
from cellflow.records import Detections

SHAPE = (1, 60)
TRUTH = {
    f"i{k}": TrueImage(masks=rle_to_masks(["1 9", "21 9"], SHAPE), cell_type="cort")
    for k in range(6)
}

FOLDS = image_folds(TRUTH, 5, np.random.default_rng(0))


def output(runs, scores):
    masks = rle_to_masks(runs, SHAPE)
    scores = None if scores is None else np.array(scores, np.float32)
    return MethodOutput(
        name="m",
        kind="COCO results",
        detections={name: Detections(name=name, masks=masks, scores=scores) for name in TRUTH},
    )


def prepared(found, **settings):
    return prepare(found, TRUTH, FOLDS, ComparisonConfig(**settings))


def test_without_overlap_and_scores_nothing_is_touched():
    found = output(["1 9", "40 3"], None)
    result = prepared(found)
    assert masks_to_rle(result.cells["i0"]) == ["1 9", "40 3"]
    assert (result.method.overlap, result.method.cutoffs) == (None, None)
    assert result.method.n_detections == 12


def test_overlap_is_resolved_by_the_rule_and_its_cost_told():
    # The second mask repeats the first cell, and is spurious.
    result = prepared(output(["1 9", "2 9", "21 9"], None), overlap_rule="mask_nms")
    cost = result.method.overlap
    assert (cost.rule, cost.n_detections, cost.n_overlapping, cost.n_dropped) == (
        "mask_nms",
        18,
        12,
        6,
    )
    assert cost.pixels_lost == 0
    assert (cost.score_before, cost.score_after) == (pytest.approx(2 / 3), 1)
    assert len(result.cells["i0"]) == 2


def test_pixels_that_go_to_other_cells_are_counted():
    cost = prepared(output(["1 9", "6 9"], None)).method.overlap
    assert cost.pixels_lost == pytest.approx(4 / 18)


def test_scores_are_cut_unless_tuning_is_off():
    found = output(["1 9", "21 9", "40 9"], [0.9, 0.8, 0.2])
    assert len(prepared(found).cells["i0"]) == 2
    untuned = prepared(found, tune_cutoffs=False)
    assert len(untuned.cells["i0"]) == 3
    assert untuned.method.cutoffs is None
    assert untuned.method.has_scores


def test_the_cost_of_overlap_is_that_of_what_reaches_the_cutoffs():
    found = output(["1 9", "21 9", "40 9", "41 9"], [0.9, 0.8, 0.2, 0.1])
    cost = prepared(found).method.overlap
    assert (cost.n_detections, cost.n_overlapping) == (12, 0)


def test_what_a_cutoff_drops_is_not_what_the_rule_drops():
    # The rule takes pixels of the second cell, which then misses the cutoff of the area.
    cutoff = (0.0, 6)
    found = output(["1 9", "6 9"], None).detections
    resolved = {name: resolve_overlap(one) for name, one in found.items()}
    cost = _cost("higher_score", resolved, found, TRUTH, dict.fromkeys(TRUTH, cutoff))
    assert (cost.n_detections, cost.n_overlapping, cost.n_dropped) == (12, 12, 0)


def test_images_of_one_group_are_left_uncut_with_a_remark():
    one_group = {
        name: TrueImage(masks=image.masks, cell_type="cort", group="w")
        for name, image in TRUTH.items()
    }
    folds = image_folds(one_group, 5, np.random.default_rng(0))
    result = prepare(output(["1 9", "40 9"], [0.9, 0.2]), one_group, folds, ComparisonConfig())
    assert result.remarks == (
        "m: all images are of one group, so that no cutoff can be chosen on folds; all detections "
        "count",
    )
    assert len(result.cells["i0"]) == 2


def test_images_outside_the_comparison_are_left_out():
    found = output(["1 9"], None)
    few = {"i0": TRUTH["i0"]}
    result = prepare(found, few, FOLDS, ComparisonConfig())
    assert list(result.cells) == list(result.detections) == ["i0"]
    assert result.method.n_detections == 1


def test_cells_keep_the_order_of_the_file():
    found = output(["21 9", "1 9"], [0.5, 0.9])
    assert masks_to_rle(prepared(found).cells["i0"]) == ["21 9", "1 9"]
