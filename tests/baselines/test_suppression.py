"""Greedy suppression against a plain one, written here from the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.baselines.suppression import suppress_boxes


def iou(one, other):
    """Intersection over union in the boxes' own type, one operation after the other."""
    zero = one.dtype.type(0)
    width = max(zero, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(zero, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = areas[0] + areas[1] - width * height
    return width * height / union if union > 0 else zero


def plain_suppression(boxes, scores, threshold):
    """Take the best that is left, drop what it covers, again."""
    left = sorted(range(len(boxes)), key=lambda k: (-scores[k], k))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        # The threshold is a double, whatever the boxes are.
        left = [k for k in left if not float(iou(boxes[best], boxes[k])) > threshold]
    return kept


@st.composite
def scenes(draw):
    """Boxes on a coarse grid, so that equal scores and IoUs at the very threshold occur."""
    n = draw(st.integers(0, 25))
    corners = draw(st.lists(st.tuples(*[st.integers(0, 8)] * 2), min_size=n, max_size=n))
    sizes = draw(st.lists(st.tuples(*[st.integers(0, 6)] * 2), min_size=n, max_size=n))
    scores = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    low, size = np.array(corners).reshape(n, 2), np.array(sizes).reshape(n, 2)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return np.hstack([low, low + size]).astype(dtype), np.array(scores).astype(dtype)


@given(scenes(), st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.7, 1.0]))
def test_keeps_what_the_definition_keeps_in_its_order(scene, threshold):
    boxes, scores = scene
    kept = suppress_boxes(boxes, scores, threshold)
    assert kept.tolist() == plain_suppression(boxes, scores, threshold)
    assert kept.dtype == np.int64


def test_keeps_what_the_definition_keeps_of_a_crowd(rng):
    low = rng.uniform(0, 100, (400, 2))
    boxes = np.hstack([low, low + rng.uniform(2, 30, (400, 2))]).astype(np.float32)
    scores = rng.random(400).astype(np.float32)
    for threshold in (0.2, 0.5, 0.75):
        kept = suppress_boxes(boxes, scores, threshold)
        assert kept.tolist() == plain_suppression(boxes, scores, threshold)
        assert 10 < len(kept) < 400


def test_an_overlap_at_the_very_threshold_stays():
    # Two 2x1 boxes that share one of three pixels.
    boxes = np.array([[0, 0, 2, 1], [1, 0, 3, 1]], np.float64)
    scores = np.array([0.9, 0.8])
    assert suppress_boxes(boxes, scores, 1 / 3).tolist() == [0, 1]
    assert suppress_boxes(boxes, scores, 1 / 3 - 1e-12).tolist() == [0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_boxes_give_no_boxes(dtype):
    assert suppress_boxes(np.zeros((0, 4), dtype), np.zeros(0, dtype), 0.5).shape == (0,)


def test_compiled_and_plain_python_agree(rng):
    from cellflow.baselines import suppression

    low = rng.uniform(0, 20, (30, 2)).astype(np.float32)
    boxes = np.hstack([low, low + 6]).astype(np.float32)
    order = np.arange(30)
    kernel = suppression._suppress
    results = []
    for function in (kernel, getattr(kernel, "py_func", kernel)):
        kept = np.zeros(30, np.int64)
        results.append(kept[: function(boxes, order, 0.4, kept)].tolist())
    assert results[0] == results[1]
