"""The competition's precision: drawn cases, invariances, brute force, real files, Cellpose."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellflow.data.kaggle import read_train_csv
from cellflow.data.rle import dense_to_masks, labels_to_masks, rle_to_masks
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, LabelError
from cellflow.metrics.average_precision import VARIANTS, average_precision
from cellflow.metrics.matching import PERCENT
from cellflow.records import CellMasks

LABELS = arrays(np.int32, (7, 8), elements=st.integers(0, 5))
STACKS = arrays(np.bool_, st.tuples(st.integers(1, 5), st.just(4), st.just(5)))


def row(*runs, width=20):
    """Cells of a one-row image, as Kaggle texts."""
    return rle_to_masks(list(runs), (1, width))


def test_a_perfect_prediction_scores_one_at_every_threshold():
    result = average_precision(row("1 5", "9 3"), row("9 3", "1 5"))
    assert result.precision.tolist() == [1.0] * 10
    assert result.counts.tp.tolist() == [2] * 10


def test_the_threshold_itself_does_not_pass():
    # Intersection 3 of union 4: 0.75.
    result = average_precision(row("1 4"), row("1 3"))
    assert result.precision.tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    passed = average_precision(row("1 4"), row("1 3"), variant="hungarian-ge")
    assert passed.precision.tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("percent", PERCENT.tolist())
def test_every_threshold_is_an_exact_decimal(percent):
    # A mask of `percent` of 100 pixels has exactly that IoU, whatever floats make of it.
    result = average_precision(row("1 100", width=100), row(f"1 {percent}", width=100))
    assert int(result.counts.tp.sum()) == (percent - 50) // 5


def test_own_thresholds_are_sorted_and_may_lie_below_one_half():
    # Intersection 3 of union 4, and 2 of 5.
    truth, predicted = row("1 4", "10 5"), row("1 3", "10 2")
    result = average_precision(truth, predicted, thresholds=[0.75, 0.3, 0.5, 0.3])
    assert result.counts.thresholds.tolist() == [0.3, 0.5, 0.75]
    assert result.counts.tp.tolist() == [2, 1, 0]
    assert result.mean == pytest.approx((1 + 1 / 3 + 0) / 3)
    all_ten = average_precision(truth, predicted, thresholds=(PERCENT / 100).tolist())
    assert (all_ten.precision == average_precision(truth, predicted).precision).all()


@pytest.mark.parametrize("threshold", [0, 1, 0.555, 50, float("nan"), -0.5])
def test_a_threshold_that_is_no_whole_percent_is_refused(threshold):
    with pytest.raises(ConfigError, match=r"IoU threshold .*: expected 0.01 to 0.99"):
        average_precision(row("1 2"), row("1 2"), thresholds=[threshold])


def test_empty_images_are_one_and_one_sided_images_are_zero():
    none, one = CellMasks.empty((1, 20)), row("1 5")
    assert average_precision(none, none).mean == 1
    assert average_precision(one, none).mean == 0
    assert average_precision(none, one).mean == 0


def test_a_prediction_may_serve_only_one_of_two_overlapping_truths():
    truth, predicted = row("1 10", "1 9"), row("1 10")
    assert average_precision(truth, predicted).precision[0] == 1 / 2
    assert average_precision(truth, predicted, variant="at-least-one").precision[0] == 1
    assert average_precision(truth, predicted, variant="exactly-one").precision[0] == 0
    assert average_precision(truth, predicted, variant="report").precision[0] == 1


def test_the_best_pairing_is_found_where_the_greedy_one_is_not():
    # The first prediction fits both truths, the second only the first truth.
    truth, predicted = row("1 10", "3 10"), row("2 10", "1 7")
    assert average_precision(truth, predicted).counts.tp[0] == 2


@settings(max_examples=60)
@given(STACKS, STACKS)
def test_one_to_one_counts_equal_brute_force(truths, predictions):
    truths, predictions = (s[s.any(axis=(1, 2))] for s in (truths, predictions))
    result = average_precision(dense_to_masks(truths), dense_to_masks(predictions))
    for index, percent in enumerate(PERCENT.tolist()):
        assert result.counts.tp[index] == most_pairs(truths, predictions, percent)
        assert result.counts.tp[index] + result.counts.fn[index] == len(truths)
        assert result.counts.tp[index] + result.counts.fp[index] == len(predictions)


def most_pairs(truths, predictions, percent):
    fits = [[100 * (t & p).sum() > percent * (t | p).sum() for p in predictions] for t in truths]
    if len(truths) > len(predictions):
        fits = [list(column) for column in zip(*fits, strict=True)]
    if not fits or not fits[0]:
        return 0
    orders = itertools.permutations(range(len(fits[0])), len(fits))
    return max(sum(fits[i][j] for i, j in enumerate(order)) for order in orders)


@settings(max_examples=50)
@given(LABELS, LABELS, st.permutations(range(1, 6)))
def test_numbers_order_and_orientation_of_labels_do_not_matter(truth, predicted, order):
    renumbered = np.array([0, *order])[predicted]
    expected = average_precision(truth, predicted).precision
    assert (average_precision(truth, renumbered).precision == expected).all()
    assert (average_precision(truth, labels_to_masks(predicted)).precision == expected).all()
    assert (average_precision(truth.T, predicted.T).precision == expected).all()
    assert (average_precision(predicted, truth).precision == expected).all()


def test_gaps_large_numbers_and_views_are_read():
    labels = np.zeros((6, 8), np.int64)
    labels[1:3, 1:3], labels[4, 5:] = 7, 9_000_000_000
    assert average_precision(labels[::-1, ::-1], labels[::-1, ::-1]).mean == 1


def test_a_cell_that_fills_the_image_matches_itself_only():
    full = np.ones((5, 6), int)
    assert average_precision(full, full).mean == 1
    assert average_precision(full, np.eye(5, 6, dtype=int)).mean == 0


def test_unequal_sizes_and_unknown_variants_are_refused():
    with pytest.raises(LabelError, match="truth is for a 1x20 image, the prediction for 2x2"):
        average_precision(row("1 2"), np.ones((2, 2), int))
    with pytest.raises(ConfigError, match="known: competition"):
        average_precision(row("1 2"), row("1 2"), variant="coco")


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_neither_masks_nor_an_array_is_refused(variant):
    labels = np.array([[1, 1, 0, 2]])
    with pytest.raises(LabelError, match=r"^truth: expected CellMasks or .*array, found list$"):
        average_precision(labels.tolist(), labels, variant=variant)
    with pytest.raises(LabelError, match=r"^predicted: .* found NoneType$"):
        average_precision(labels, None, variant=variant)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "mean", "ap50", "report"),
    [("mask_rcnn", 0.38647, 0.68189, 0.3868), ("cellpose_finetuned", 0.33082, 0.62485, 0.3310)],
)
def test_published_scores_of_real_predictions_are_met(real_data, name, mean, ap50, report):
    truth = read_train_csv(real_data / "sartorius/train.csv")
    found = read_submission(real_data / f"sartorius/predictions/{name}.csv")
    images = [average_precision(truth[i].masks, found[i]) for i in found]
    assert np.mean([image.mean for image in images]) == pytest.approx(mean, abs=1e-5)
    assert np.mean([image.precision[0] for image in images]) == pytest.approx(ap50, abs=1e-5)
    others = [average_precision(truth[i].masks, found[i], variant="report").mean for i in found]
    assert np.mean(others) == pytest.approx(report, abs=1e-4)


@pytest.mark.reference
def test_label_images_score_as_in_cellpose(rng):
    metrics = pytest.importorskip("cellpose.metrics")
    truth = np.kron(rng.permutation(np.arange(1, 17)).reshape(4, 4), np.ones((12, 12), int))
    predicted = np.roll(truth, (1, 2), axis=(0, 1))
    # Cellpose counts up to the largest label, so that a gap would be a spurious cell there.
    predicted[predicted == 16] = 0
    expected = metrics.average_precision([truth], [predicted], list(PERCENT / 100))[0][0]
    found = average_precision(truth, predicted, variant="hungarian-ge").precision
    assert found == pytest.approx(expected, abs=1e-6)


def test_every_variant_agrees_where_nothing_overlaps_and_nothing_ties():
    truth, predicted = row("1 10", "12 4"), row("1 9", "12 3", "18 1")
    means = {
        variant: average_precision(truth, predicted, variant=variant).precision[0]
        for variant in VARIANTS
    }
    assert set(means.values()) == {2 / 3}
