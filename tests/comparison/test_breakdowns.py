"""Slices by type, threshold, size and density."""

import numpy as np
import pytest

from cellflow.comparison.breakdowns import (
    Evidence,
    by_cell_size,
    by_cell_type,
    by_density,
    by_threshold,
)
from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.score import score_images


def labels(*widths):
    """One row with a cell of each width, a pixel apart."""
    row = np.zeros(120, int)
    at = 0
    for number, width in enumerate(widths, start=1):
        row[at : at + width] = number
        at += width + 1
    return row[None]


def evidence(truths, sides, kinds=None):
    names = [f"i{k}" for k in range(len(truths))]
    truth = dict(zip(names, truths, strict=True))
    predicted = [dict(zip(names, side, strict=True)) for side in sides]
    types = dict(zip(names, kinds or [None] * len(names), strict=True))
    scores = tuple(
        score_images(truth, side, rng=np.random.default_rng(0), cell_types=types, n_draws=50)
        for side in predicted
    )
    found = tuple(
        tuple(find_cells(truth[name], side[name]) for name in names) for side in predicted
    )
    return Evidence(scores=scores, found=found, n_draws=50, seed=0)


def estimates(slices):
    return [[score.estimate for score in one.scores] for one in slices]


def test_each_type_has_its_own_scores_and_images():
    both, one = labels(9, 9), labels(9)
    found = by_cell_type(evidence([both] * 4, [[both] * 4, [one] * 4], ["b", "a", "a", "a"]))
    assert [(part.label, part.n_images, part.n_truths) for part in found.slices] == [
        ("a", 3, 6),
        ("b", 1, 2),
    ]
    assert estimates(found.slices) == [[1, 0.5], [1, 0.5]]
    assert [part.differences[0].estimate for part in found.slices] == [0.5, 0.5]
    assert np.isnan(found.slices[1].differences[0].low)


def test_each_threshold_has_its_own_precision():
    truth, rough = labels(9), labels(7)
    found = by_threshold(evidence([truth] * 3, [[truth] * 3, [rough] * 3]))
    assert [part.label for part in found.slices][:2] == ["IoU > 0.50", "IoU > 0.55"]
    assert [scores[1] for scores in estimates(found.slices)] == [1] * 6 + [0] * 4


def test_a_hit_counts_for_the_size_of_its_true_cell_and_a_spurious_one_for_its_own():
    # True cells of 4, 10 and 30 pixels on every image; one finds the first and invents 31.
    truth = labels(4, 10, 30)
    poor = labels(4) + 2 * (np.arange(120) >= 80)[None] * (np.arange(120) < 111)[None]
    found = by_cell_size(evidence([truth] * 3, [[truth] * 3, [poor] * 3]))
    assert [part.label for part in found.slices] == ["4 to 4 px", "10 to 10 px", "30 to 30 px"]
    assert estimates(found.slices) == [[1, 1], [1, 0], [1, 0]]
    bounds = [(part.n_images, part.n_truths) for part in found.slices]
    assert bounds == [(3, 3)] * 3


def test_spurious_cells_of_a_size_lower_the_score_of_that_size():
    truth = labels(4, 10, 30)
    extra = labels(4, 10, 30, 10)
    found = by_cell_size(evidence([truth] * 3, [[truth] * 3, [extra] * 3]))
    assert estimates(found.slices) == [[1, 1], [1, 0.5], [1, 1]]


@pytest.mark.parametrize(
    ("width", "scores"), [(2, [0.5, 1, 1]), (7, [0.5, 1, 1]), (40, [1, 1, 0.5])]
)
def test_a_spurious_cell_of_a_size_that_no_true_one_has_is_counted_too(width, scores):
    truth, extra = labels(4, 10, 30), labels(4, 10, 30, width)
    found = by_cell_size(evidence([truth] * 3, [[truth] * 3, [extra] * 3]))
    assert estimates(found.slices) == [[1, score] for score in scores]


def test_images_are_parted_by_the_number_of_their_cells():
    truths = [labels(*[3] * n) for n in (1, 1, 2, 2, 9, 9)]
    found = by_density(evidence(truths, [truths, [labels(3)] * 6]))
    assert [part.label for part in found.slices] == ["1 to 1 cells", "2 to 2 cells", "9 to 9 cells"]
    assert estimates(found.slices) == [[1, 1], [1, 0.5], [1, pytest.approx(1 / 9)]]


def test_equal_sizes_make_one_slice():
    truths = [labels(5, 5)] * 4
    assert len(by_cell_size(evidence(truths, [truths, truths])).slices) == 1
