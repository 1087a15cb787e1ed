"""Cell by cell, and in agreement with the score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.data.rle import dense_to_masks
from cellflow.metrics.average_precision import average_precision
from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.matching import assign_matches


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


def best_of(pairs, worths, used=frozenset()):
    """The largest number of pairs, and the largest sum of their worth, by trying all choices."""
    if not pairs:
        return 0, 0
    (truth, predicted), *rest = pairs
    without = best_of(rest, worths[1:], used)
    cells = {("truth", truth), ("predicted", predicted)}
    if cells & used:
        return without
    count, worth = best_of(rest, worths[1:], used | cells)
    return max(without, (count + 1, worth + worths[0]))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), unique=True, max_size=11),
    st.randoms(use_true_random=False),
)
def test_the_choice_has_the_most_pairs_and_of_these_the_largest_iou(pairs, random):
    truth, predicted = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    # In 64ths, so that sums are exact.
    worths = [random.randint(1, 64) for _ in pairs]
    chosen = assign_matches(truth, predicted, np.array(worths) / 64)
    assert len(set(truth[chosen])) == len(set(predicted[chosen])) == len(chosen)
    assert chosen.tolist() == sorted(chosen)
    assert (len(chosen), sum(worths[pair] for pair in chosen)) == best_of(pairs, worths)


def test_of_two_truths_under_one_prediction_the_better_one_is_found():
    truth = dense_to_masks(np.array([[[1, 1, 1, 0, 0]], [[1, 1, 1, 1, 0]]], bool))
    found = find_cells(truth, np.array([[1, 1, 1, 1, 0]]))
    assert found.found[0].tolist() == [False, True]


def test_an_image_without_any_cell_is_perfect():
    nothing = np.zeros((2, 2), int)
    assert find_cells(nothing, nothing).precision.tolist() == [1] * 10
