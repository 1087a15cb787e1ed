"""Pairs of cells that share pixels: both ways of finding them agree with counting one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellflow.data.rle import labels_to_masks
from cellflow.errors import LabelError
from cellflow.metrics.label_pairs import pair_labels
from cellflow.metrics.overlap import find_overlap

LABELS = arrays(np.int32, (6, 7), elements=st.sampled_from([0, 0, 1, 2, 5, 40]))


def counted(truth, predicted):
    """Each pair of labels and its pixels, one pixel at a time."""
    pairs = {}
    for a, b in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if a and b:
            pairs[a, b] = pairs.get((a, b), 0) + 1
    return [(a, b, n) for (a, b), n in sorted(pairs.items())]


def test_a_drawn_overlap():
    truth = np.array([[1, 1, 0, 3], [1, 1, 0, 3]])
    found = np.array([[2, 2, 2, 0], [0, 1, 1, 1]])
    overlap = find_overlap(truth, found)
    assert overlap.truth.tolist() == [0, 0, 1]
    assert overlap.predicted.tolist() == [0, 1, 0]
    assert overlap.intersection.tolist() == [1, 2, 1]
    assert overlap.union.tolist() == [6, 5, 4]
    assert overlap.truth_areas.tolist() == [4, 2]
    assert overlap.predicted_areas.tolist() == [3, 3]


@given(LABELS, LABELS)
def test_labels_and_masks_give_the_same_pairs(truth, predicted):
    of_labels = find_overlap(truth, predicted)
    of_masks = find_overlap(labels_to_masks(truth), labels_to_masks(predicted))
    order = np.lexsort((of_masks.predicted, of_masks.truth))
    for name in ("truth", "predicted", "intersection", "union"):
        assert getattr(of_labels, name).tolist() == getattr(of_masks, name)[order].tolist()
    for name in ("truth_areas", "predicted_areas"):
        assert getattr(of_labels, name).tolist() == getattr(of_masks, name).tolist()


@given(LABELS, LABELS)
def test_every_pixel_of_every_pair_is_counted(truth, predicted):
    pairs, truth_areas, predicted_areas = pair_labels(truth.ravel(), 40, predicted.ravel(), 40)
    assert [tuple(int(n) for n in pair) for pair in zip(*pairs, strict=True)] == counted(
        truth, predicted
    )
    for labels, areas in ((truth, truth_areas), (predicted, predicted_areas)):
        expected = np.bincount(labels.ravel(), minlength=len(areas))
        assert areas[1:].tolist() == expected[1:].tolist()
        assert areas[0] == 0


def test_many_more_pairs_than_labels_fit_into_the_table(rng):
    truth, predicted = rng.integers(0, 60, (2, 40_000), np.int32)
    pairs, *_ = pair_labels(truth, 59, predicted, 59)
    assert len(pairs[0]) == 59 * 59
    assert int(pairs[2].sum()) == int(((truth > 0) & (predicted > 0)).sum())


def test_no_pixels_and_no_cells_give_no_pairs():
    for shape in ((0, 0), (3, 0), (3, 4)):
        empty = np.zeros(shape, np.int32)
        overlap = find_overlap(empty, empty)
        assert len(overlap.truth) == len(overlap.truth_areas) == len(overlap.predicted_areas) == 0


@pytest.mark.parametrize("labels", [np.array([[-1, 2]]), np.zeros((1, 2, 3), int), np.ones((1, 2))])
def test_what_are_no_labels_is_refused(labels):
    with pytest.raises(LabelError, match="labels: expected"):
        find_overlap(labels, np.ones((1, 2), int))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_a_negative_label_of_any_type_is_refused(dtype):
    labels = np.ones((300, 300), dtype)
    labels[0, 0] = -1
    with pytest.raises(LabelError, match="expected 0 or more, found -1"):
        find_overlap(labels, labels)


@pytest.mark.parametrize("dtype", [">u2", ">i4", "<u2", "<i4"])
def test_labels_in_the_byte_order_of_another_processor_are_the_same_labels(dtype):
    labels = np.zeros((4, 5), dtype)
    labels[1:3, 1:3] = 256
    overlap = find_overlap(labels, labels > 0)
    assert overlap.truth_areas.tolist() == overlap.intersection.tolist() == [4]
