"""Cells that one, both or neither finds."""

import numpy as np
import pytest

from cellflow.comparison.agreement import count_found, oracle
from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.score import score_images

TRUTH = np.array([[1, 1, 1, 1, 1, 0, 2, 2, 0, 3, 3, 0, 4, 4]])
FIRST = np.array([[1, 1, 1, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0]])
SECOND = np.array([[1, 1, 1, 1, 1, 0, 0, 0, 0, 3, 3, 0, 0, 0]])
NOTHING = np.zeros_like(TRUTH)


def test_every_true_cell_is_counted_once():
    found = [find_cells(TRUTH, side) for side in (FIRST, SECOND)]
    counts = count_found([found[0]], [found[1]], ["cort"])
    low, high = counts["all"]
    assert (low.iou, low.both, low.only_first, low.only_second, low.neither) == (0.5, 1, 1, 1, 1)
    assert (high.iou, high.both, high.only_first, high.only_second, high.neither) == (
        0.75,
        0,
        1,
        2,
        1,
    )
    assert counts["cort"] == counts["all"]


def test_images_without_a_type_count_only_among_all():
    found = [find_cells(TRUTH, FIRST)] * 2
    counts = count_found(found, found, ["cort", None])
    assert counts["all"][0].both == 2 * counts["cort"][0].both == 4


def test_the_oracle_takes_the_better_image_or_every_cell_that_either_finds(rng):
    truths = {"a": TRUTH, "b": TRUTH, "empty": NOTHING}
    sides = [{"a": FIRST, "b": SECOND, "empty": FIRST}, {"a": SECOND, "b": NOTHING}]
    scores = [score_images(truths, side, rng=rng) for side in sides]
    found = [
        [find_cells(truth, side.get(name, NOTHING)) for name, truth in truths.items()]
        for side in sides
    ]
    best = oracle(*scores, *found)
    exact, rough = scores[1].images[0].mean, scores[0].images[0].mean
    assert exact == pytest.approx(0.5)
    assert rough == pytest.approx(0.2 * 0.5 + 0.8 * 0.2)
    assert best.per_image == pytest.approx((exact + exact + 1) / 3)
    assert best.per_cell == pytest.approx((0.75 + 0.5 + 1) / 3)
