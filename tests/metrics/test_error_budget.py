"""Every cell gets the error that a person would name, and curing it gives what it should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellflow.data.kaggle import read_train_csv
from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.data.submission import read_submission
from cellflow.errors import DataError
from cellflow.metrics.average_precision import average_precision
from cellflow.metrics.cell_errors import KINDS, find_cell_errors
from cellflow.metrics.error_budget import image_errors, summarize_errors


def picture(*rows):
    return np.array([[int(c) if c.isdigit() else 0 for c in row] for row in rows], np.int32)


def kinds_of(truth, predicted):
    found = find_cell_errors(labels_to_masks(truth), labels_to_masks(predicted))
    return found.truth_kinds.tolist(), found.predicted_kinds.tolist()


TWO = picture("111.222", "111.222")


@pytest.mark.parametrize(
    ("predicted", "truth_kinds", "predicted_kinds"),
    [
        (TWO, ["found", "found"], ["found", "found"]),
        (picture("111....", "111...."), ["found", "missed"], ["found"]),
        (picture("1111111", "1111111"), ["merged", "merged"], ["merged"]),
        (picture("11111..", "11111.."), ["found", "missed"], ["found"]),
        (picture("1111111", "11111.."), ["merged", "merged"], ["merged"]),
        (picture("111.223", "111.333"), ["found", "found"], ["found", "split", "found"]),
        (picture("12..333", "12..333"), ["split", "found"], ["split", "split", "found"]),
        (picture("1...222", "1...222"), ["boundary", "found"], ["boundary", "found"]),
        (picture("...1...", "......."), ["missed", "missed"], ["spurious"]),
    ],
)
def test_cells_are_sorted_as_a_person_would(predicted, truth_kinds, predicted_kinds):
    assert kinds_of(TWO, predicted) == (truth_kinds, predicted_kinds)


def test_a_found_cell_that_swallows_a_small_one_has_merged_it():
    truth = picture("1111112", "1111112")
    predicted = picture("1111111", "1111111")
    assert kinds_of(truth, predicted) == (["found", "merged"], ["found"])
    assert image_errors(truth, predicted).cured["merged"] == 1


def test_a_cell_drawn_over_another_is_missed_not_merged():
    stack = np.zeros((2, 4, 6), bool)
    stack[0, :, :], stack[1, 1:3, 1:3] = True, True
    found = find_cell_errors(dense_to_masks(stack), labels_to_masks(stack[0]))
    assert found.truth_kinds.tolist() == ["found", "missed"]


@pytest.mark.parametrize(
    ("kind", "predicted"),
    [
        ("missed", picture("111....", "111....")),
        ("spurious", picture("1113222", "1113222")),
        ("split", picture("123.444", "123.444")),
        ("boundary", picture("11..222", "1...222")),
    ],
)
def test_curing_the_only_kind_of_error_gives_1(kind, predicted):
    errors = image_errors(TWO, predicted)
    assert errors.score < 1
    assert errors.cured[kind] == 1
    others = {other: errors.cured[other] for other in KINDS if other != kind}
    assert others == pytest.approx(dict.fromkeys(others, errors.score))


def test_a_cut_prediction_keeps_its_own_pixels():
    # The gap's pixels go to the nearer cell: 8 of 6 pixels, IoU 0.75 for one of the two.
    errors = image_errors(TWO, picture("1111111", "1111111"))
    assert errors.cured["merged"] == pytest.approx((5 * 1 + 5 * 1 / 3) / 10)


@pytest.mark.parametrize(
    ("predicted", "kind", "n_cured"),
    [
        (picture("11..222", "1...222"), "boundary", 1),
        (picture("1...222", "1...22."), "boundary", 2),  # one of them found
        (TWO, "boundary", 0),
        (picture("111....", "111...."), "missed", 1),
        (picture("1113222", "1113222"), "spurious", 1),
        (picture("12..333", "12..333"), "split", 2),
        (picture("111.223", "111.333"), "split", 2),  # a piece joins a found cell
        (picture("1111111", "1111111"), "merged", 2),
    ],
)
def test_a_cure_tells_how_many_cells_it_changes(predicted, kind, n_cured, rng):
    errors = image_errors(TWO, predicted)
    assert errors.n_cured[kind] == n_cured
    assert summarize_errors([errors] * 2, rng=rng).kinds[kind].n_cured == 2 * n_cured


def test_a_found_cell_that_is_cut_counts_as_changed(rng):
    errors = image_errors(picture("1111112", "1111112"), picture("1111111", "1111111"))
    assert (errors.cells.truth_kinds == "merged").sum() == 1
    assert errors.n_cured["merged"] == 2


def test_overlapping_predictions_are_flattened_first():
    stack = np.zeros((2, 3, 5), bool)
    stack[0, :, :3], stack[1, 0, 0] = True, True
    errors = image_errors(labels_to_masks(stack[0]), dense_to_masks(stack))
    assert errors.cells.predicted_kinds.tolist() == ["found", "split"]
    assert errors.cured["split"] == 1


def test_budgets_sum_images_up(rng):
    empty = np.zeros_like(TWO)
    images = [image_errors(TWO, TWO), image_errors(TWO, empty), image_errors(empty, TWO)]
    budget = summarize_errors(images, rng=rng, n_draws=200)
    assert (budget.n_images, budget.n_truths, budget.n_predicted, budget.n_found) == (3, 4, 4, 2)
    assert budget.score.estimate == pytest.approx(1 / 3)
    assert (budget.kinds["missed"].n_truths, budget.kinds["missed"].n_predicted) == (2, 0)
    assert budget.kinds["missed"].cured == pytest.approx(2 / 3)
    assert budget.kinds["spurious"].gain.estimate == pytest.approx(1 / 3)
    assert budget.kinds["split"].n_predicted == 0
    with pytest.raises(DataError, match="no image"):
        summarize_errors([], rng=rng)


def test_a_cut_that_costs_more_than_it_gains_is_said_with_an_interval_around_it(rng):
    # Of the two cells in the prediction neither half hits: a second spurious one is all it gains.
    truth = picture("11......22", "3333333333", "3333333333")
    predicted = picture("1111111111", "2222222222", "2222222222")
    images = [image_errors(truth, predicted), image_errors(TWO, TWO)] * 5
    gain = summarize_errors(images, rng=rng, n_draws=500).kinds["merged"].gain
    assert gain.estimate == pytest.approx((1 / 5 - 1 / 4) / 2)
    assert gain.low < gain.estimate < gain.high


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31))
def test_the_score_is_the_competitions_and_only_a_cut_may_harm(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = (np.kron(rng.integers(0, 6, (4, 5)), np.ones((2, 3), int)) for _ in range(2))
    predicted[rng.random(predicted.shape) < 0.1] = 0
    errors = image_errors(truth, predicted)
    assert errors.score == average_precision(truth, predicted).mean
    for kind in ("missed", "spurious", "split", "boundary"):
        assert errors.cured[kind] >= errors.score - 1e-12
    n_lost = (errors.cells.truth_kinds != "found").sum()
    assert n_lost == average_precision(truth, predicted).counts.fn[0]


@pytest.mark.real_data
def test_real_submissions_have_the_published_score_and_every_cure_helps(real_data, rng):
    truth = read_train_csv(real_data / "sartorius" / "train.csv")
    shapes = {name: image.masks.shape for name, image in truth.items()}
    found = read_submission(real_data / "sartorius" / "predictions" / "mask_rcnn.csv", shapes)
    images = [image_errors(truth[name].masks, found[name]) for name in found]
    budget = summarize_errors(images, rng=rng, n_draws=500)
    assert budget.score.estimate == pytest.approx(0.38647, abs=5e-6)
    assert budget.n_found + sum(one.n_truths for one in budget.kinds.values()) == budget.n_truths
    predicted = budget.n_found + sum(one.n_predicted for one in budget.kinds.values())
    assert predicted == budget.n_predicted
    assert all(one.gain.estimate > -0.005 for one in budget.kinds.values())
    assert budget.kinds["boundary"].gain.estimate > 0.1
