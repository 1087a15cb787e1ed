"""Who keeps a pixel that several cells cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellflow.data.flatten import flatten
from cellflow.data.rle import dense_to_masks, rle_to_masks
from cellflow.errors import ConfigError
from cellflow.records import CellMasks

SMALL_UNDER_LARGE = ["4 2", "1 8"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("small_on_top", [[2, 2, 2, 1, 1, 2, 2, 2]]),
        ("last_wins", [[2, 2, 2, 2, 2, 2, 2, 2]]),
        ("drop_overlap", [[2, 2, 2, 0, 0, 2, 2, 2]]),
        ("nearest_centre", [[2, 2, 2, 1, 1, 2, 2, 2]]),
    ],
)
def test_each_policy_draws_its_picture(policy, expected):
    assert flatten(rle_to_masks(SMALL_UNDER_LARGE, (1, 8)), policy).tolist() == expected


def test_the_nearest_centre_divides_between_equals():
    labels = flatten(rle_to_masks(["1 6", "4 6"], (1, 10)), "nearest_centre")
    assert labels.tolist() == [[1, 1, 1, 1, 1, 2, 2, 2, 2, 0]]


def test_a_covered_cell_keeps_its_number_free():
    assert np.unique(flatten(rle_to_masks(["1 2", "1 2", "5 1"], (1, 6)))).tolist() == [0, 2, 3]


def test_an_image_without_cells_is_background():
    assert not flatten(CellMasks.empty((2, 3))).any()


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="known: small_on_top"):
        flatten(CellMasks.empty((2, 3)), "biggest_on_top")


@settings(max_examples=40)
@given(arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))))
def test_every_policy_labels_covered_pixels_by_a_cell_that_covers_them(stack):
    stack = stack[stack.any(axis=(1, 2))]
    covered = stack.any(axis=0)
    for policy in ("small_on_top", "last_wins", "nearest_centre", "drop_overlap"):
        labels = flatten(dense_to_masks(stack), policy)
        ys, xs = np.nonzero(labels)
        assert all(stack[labels[y, x] - 1, y, x] for y, x in zip(ys, xs, strict=True))
        if policy == "drop_overlap":
            assert ((labels > 0) == (stack.sum(axis=0) == 1)).all()
        else:
            assert ((labels > 0) == covered).all()
