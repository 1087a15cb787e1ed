"""Cell by cell the same hits as the score counts, and the partner that explains a miss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks
from cellflow.report.partners import find_partners


def row(*spans, width=40):
    """One mask a span of pixels, in an image of one row."""
    stack = np.zeros((len(spans), 1, width), bool)
    for mask, (start, end) in zip(stack, spans, strict=True):
        mask[0, start:end] = True
    return dense_to_masks(stack) if spans else CellMasks.empty((1, width))


spans = st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda s: (s[0], s[0] + s[1]))
labels = st.lists(st.integers(0, 4), min_size=40, max_size=40).map(
    lambda line: labels_to_masks(np.array([line]))
)


@given(st.lists(spans, max_size=6), labels)
def test_the_levels_are_the_true_positives_at_every_threshold(truths, predicted):
    truth = row(*truths)
    partners = find_partners(truth, predicted)
    hits = average_precision(truth, predicted).counts.tp
    for levels in (partners.truth_levels, partners.predicted_levels):
        np.testing.assert_array_equal((levels[:, None] > np.arange(10)).sum(axis=0), hits)


def test_a_missed_cell_still_names_its_best_partner_and_its_iou():
    partners = find_partners(row((0, 10), (20, 25)), row((6, 14)))
    assert partners.truth_levels.tolist() == [0, 0]
    assert partners.truth_best.tolist() == [0, -1]
    assert partners.truth_iou.tolist() == [4 / 14, 0]
    assert partners.predicted_best.tolist() == [0]


def test_a_prediction_that_meets_two_overlapping_truths_counts_for_the_better():
    partners = find_partners(row((0, 8), (0, 10)), row((0, 10)))
    assert partners.truth_levels.tolist() == [0, 10]
    assert partners.truth_iou.tolist() == [0.8, 1]
    assert partners.predicted_best.tolist() == [1]


def test_an_iou_of_exactly_the_threshold_is_no_hit():
    assert find_partners(row((0, 10)), row((0, 5))).truth_levels.tolist() == [0]
    assert find_partners(row((0, 10)), row((0, 6))).truth_levels.tolist() == [2]


@pytest.mark.parametrize("sides", [((), ((0, 3),)), (((0, 3),), ()), ((), ())])
def test_a_side_without_cells_leaves_the_other_without_partners(sides):
    truth, predicted = (row(*side) for side in sides)
    partners = find_partners(truth, predicted)
    assert partners.truth_levels.tolist() == [0] * len(truth)
    assert partners.predicted_best.tolist() == [-1] * len(predicted)
