"""COCO's average precision, by the COCO tools."""

import numpy as np
import pytest

from cellflow.comparison import coco_precision as room
from cellflow.comparison.coco_precision import coco_precision
from cellflow.data.rle import labels_to_masks, rle_to_masks
from cellflow.errors import ConfigError
from cellflow.records import Detections

pytest.importorskip("faster_coco_eval", reason="the extra [coco] is not installed")


def grid(n_cells, width=4):
    """Cells of 4 pixels in a row, a pixel apart."""
    row = np.zeros(5 * n_cells, np.int32)
    for cell in range(n_cells):
        row[5 * cell : 5 * cell + width] = cell + 1
    return row[None]


def found(masks, scores):
    scores = None if scores is None else np.array(scores, np.float32)
    return Detections(name="x", masks=masks, scores=scores)


def test_perfect_detections_are_perfect():
    masks = labels_to_masks(grid(3))
    score = coco_precision({"x": masks}, {"x": found(masks, [0.9, 0.5, 0.7])})
    assert (score.ap, score.ap50, score.has_scores) == (1, 1, True)


def test_a_spurious_detection_costs_only_when_it_is_sure():
    truth = labels_to_masks(grid(2))
    three = rle_to_masks(["1 4", "6 4", "10 1"], (1, 10))
    unsure = coco_precision({"x": truth}, {"x": found(three, [0.9, 0.8, 0.1])})
    sure = coco_precision({"x": truth}, {"x": found(three, [0.5, 0.4, 0.9])})
    assert unsure.ap == 1
    assert sure.ap == pytest.approx(2 / 3, abs=0.01)


def test_an_iou_at_the_threshold_is_enough():
    truth = labels_to_masks(grid(4))
    three_quarters = labels_to_masks(grid(4, width=3))
    score = coco_precision({"x": truth}, {"x": found(three_quarters, [0.9] * 4)})
    assert (score.ap50, score.ap75) == (1, 1)
    assert score.ap == pytest.approx(6 / 10)


def test_dense_images_count_whole():
    masks = labels_to_masks(grid(400))
    score = coco_precision({"x": masks}, {"x": found(masks, np.linspace(0.1, 1, 400))})
    assert score.ap == 1
    assert score.max_detections == 1000
    many = labels_to_masks(grid(1200))
    score = coco_precision({"x": many}, {"x": found(many, np.linspace(0.1, 1, 1200))})
    assert (score.ap, score.max_detections) == (1, 1200)


def test_missing_images_are_misses_and_detections_without_scores_equally_sure():
    masks = labels_to_masks(grid(2))
    score = coco_precision({"x": masks, "y": masks}, {"x": found(masks, None)})
    assert score.ap == pytest.approx(0.5, abs=0.01)
    assert not score.has_scores


def test_nothing_found_is_zero():
    masks = labels_to_masks(grid(2))
    assert coco_precision({"x": masks}, {}).ap == 0


def test_overlapping_detections_stay_as_they_are():
    truth = rle_to_masks(["1 6", "4 6"], (1, 10))
    assert coco_precision({"x": truth}, {"x": found(truth, [0.9, 0.8])}).ap == 1


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'cellflow\[coco\]'"):
        coco_precision({}, {})
