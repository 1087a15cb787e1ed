"""Cell by cell, and in agreement with the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.data.rle import dense_to_masks
from cellflow.metrics.average_precision import average_precision
from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.matching import assign_matches, count_matches


@st.composite
def overlapping_masks(draw):
    n = draw(st.integers(0, 4))
    stack = np.zeros((n, 3, 6), bool)
    for mask in stack:
        y, x = draw(st.integers(0, 2)), draw(st.integers(0, 5))
        mask[y : y + draw(st.integers(1, 3)), x : x + draw(st.integers(1, 5))] = True
    return dense_to_masks(stack)


@given(overlapping_masks(), overlapping_masks())
def test_counts_of_found_cells_are_those_of_the_score(truth, predicted):
    found = find_cells(truth, predicted)
    score = average_precision(truth, predicted)
    assert found.found.sum(axis=1).tolist() == score.counts.tp.tolist()
    assert found.hits.sum(axis=1).tolist() == score.counts.tp.tolist()
    assert found.precision == pytest.approx(score.precision)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), unique=True, max_size=12))
def test_as_many_pairs_are_assigned_as_can_be_and_each_cell_once(pairs):
    truth, predicted = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    chosen = assign_matches(truth, predicted, np.linspace(0, 1, len(pairs)))
    assert len(chosen) == count_matches(truth, predicted)
    assert len(set(truth[chosen])) == len(set(predicted[chosen])) == len(chosen)


def test_of_two_truths_under_one_prediction_the_better_one_is_found():
    truth = dense_to_masks(np.array([[[1, 1, 1, 0, 0]], [[1, 1, 1, 1, 0]]], bool))
    found = find_cells(truth, np.array([[1, 1, 1, 1, 0]]))
    assert found.found[0].tolist() == [False, True]


def test_an_image_without_any_cell_is_perfect():
    nothing = np.zeros((2, 2), int)
    assert find_cells(nothing, nothing).precision.tolist() == [1] * 10
