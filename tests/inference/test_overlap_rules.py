"""Every pixel to one cell, by each rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cellflow.data.rle import dense_to_masks, masks_to_dense, rle_to_masks
from cellflow.errors import ConfigError
from cellflow.inference.overlap_rules import RULES, has_overlap, resolve_overlap
from cellflow.records import Detections


def detections(runs, scores, width=12):
    masks = rle_to_masks(runs, (1, width))
    return Detections(
        name="x", masks=masks, scores=None if scores is None else np.array(scores, np.float32)
    )


def labels(found, rule):
    return resolve_overlap(found, rule).prediction.labels[0].tolist()


# A of 4 pixels, B of 4 of which 1 is in A, C of 3 of which 2 are in B, by falling score.
CHAIN = detections(["1 4", "4 4", "6 3"], [0.9, 0.8, 0.7], width=9)


def test_higher_score_leaves_every_cell_what_no_better_one_covers():
    assert labels(CHAIN, "higher_score") == [1, 1, 1, 1, 2, 2, 2, 3, 0]


def test_score_order_drops_a_cell_of_which_less_than_half_is_free():
    assert labels(CHAIN, "score_order") == [1, 1, 1, 1, 2, 2, 2, 0, 0]
    half = detections(["1 4", "3 4"], [0.9, 0.8], width=6)
    assert labels(half, "score_order") == [1, 1, 1, 1, 2, 2]


def test_mask_nms_drops_a_second_mask_of_the_same_cell_only():
    same = detections(["1 6", "2 6", "6 4"], [0.5, 0.9, 0.4], width=9)
    found = resolve_overlap(same, "mask_nms")
    assert found.prediction.labels[0].tolist() == [0, 1, 1, 1, 1, 1, 1, 2, 2]
    assert found.kept.tolist() == [1, 2]
    assert labels(same, "higher_score") == [2, 1, 1, 1, 1, 1, 1, 3, 3]


def test_what_nms_has_dropped_drops_nothing_itself():
    # B repeats A, C repeats B but not A: C stays.
    chain = detections(["1 9", "3 9", "6 9"], [0.9, 0.8, 0.7], width=20)
    assert resolve_overlap(chain, "mask_nms").kept.tolist() == [0, 2]


def test_the_cost_is_counted():
    found = resolve_overlap(CHAIN, "score_order")
    assert CHAIN.masks.n_overlapping == 3
    assert found.kept.tolist() == [0, 1]
    assert found.areas_before.tolist() == [4, 4]
    assert np.bincount(found.prediction.labels.ravel())[1:].tolist() == [4, 3]


def test_equal_scores_and_none_leave_the_pixel_to_the_first_in_the_file():
    for scores in (None, [0.5, 0.5]):
        found = detections(["2 3", "1 3"], scores, width=4)
        assert labels(found, "higher_score") == [2, 1, 1, 1]
    assert resolve_overlap(detections(["1 1"], None)).prediction.scores.tolist() == [1]


@pytest.mark.parametrize("rule", RULES)
def test_an_image_without_detections_stays_empty(rule):
    found = resolve_overlap(detections([], []), rule)
    assert found.prediction.labels.max() == 0
    assert len(found.kept) == 0


def test_an_unknown_rule_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown overlap rule 'max'; known: higher_score, sc"):
        resolve_overlap(CHAIN, "max")


stacks = arrays.arrays(bool, st.tuples(st.integers(1, 5), st.just(2), st.just(5))).filter(
    lambda stack: stack.any(axis=(1, 2)).all()
)


@given(stack=stacks, rule=st.sampled_from(RULES), seed=st.integers(0, 99))
def test_the_kept_cells_lie_in_their_masks_and_best_cells_stay_whole(stack, rule, seed):
    scores = np.random.default_rng(seed).random(len(stack)).astype(np.float32)
    found = resolve_overlap(Detections(name="x", masks=dense_to_masks(stack), scores=scores), rule)
    labels = found.prediction.labels
    for label, cell in enumerate(found.kept, start=1):
        assert (stack[cell] | (labels != label)).all()
        assert (labels == label).any()
    best = np.argmax(scores)
    assert (labels[stack[best]] == 1).all()


@given(stack=stacks, rule=st.sampled_from(RULES), threshold=st.floats(0, 1))
def test_a_score_threshold_may_come_before_or_after_the_rule(stack, rule, threshold):
    scores = np.linspace(0, 1, len(stack)).astype(np.float32)[::-1]
    all_of_them = Detections(name="x", masks=dense_to_masks(stack), scores=scores)
    above = scores >= threshold
    fewer = Detections(name="x", masks=all_of_them.masks.select(above), scores=scores[above])
    after = resolve_overlap(all_of_them, rule).prediction
    before = resolve_overlap(fewer, rule).prediction
    n_above = int((after.scores >= threshold).sum())
    assert (np.where(after.labels <= n_above, after.labels, 0) == before.labels).all()


@given(stack=stacks)
def test_overlap_is_noticed(stack):
    masks = dense_to_masks(stack)
    assert has_overlap(masks) == (masks_to_dense(masks).sum(axis=0) > 1).any()
