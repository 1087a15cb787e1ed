"""Precision, recall, F1, matched IoU, panoptic quality: by hand, against Cellpose and scipy."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cellflow.data.rle import rle_to_masks
from cellflow.metrics.average_precision import VARIANTS, average_precision
from cellflow.metrics.pooled import pool

HALF = [0.5]
LEVELS = [0.3, 0.5, 0.75, 0.9]


def row(*runs):
    """Cells of a one-row image, as Kaggle texts."""
    return rle_to_masks(list(runs), (1, 30))


def at_half(*images):
    return pool([average_precision(*both, thresholds=HALF).counts for both in images])


def test_counts_of_two_images_are_summed_before_they_are_divided():
    # IoU 4/5 and 1, a missed truth; then IoU 3/4, two spurious cells.
    first = (row("1 5", "7 2", "20 3"), row("1 4", "7 2"))
    second = (row("1 4"), row("1 3", "10 2", "20 2"))
    pooled = at_half(first, second)
    assert [pooled.counts.tp, pooled.counts.fp, pooled.counts.fn] == [3, 2, 1]
    assert pooled.precision == pytest.approx(3 / 5)
    assert pooled.recall == pytest.approx(3 / 4)
    assert pooled.f1 == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    assert pooled.average_precision == pytest.approx(3 / 6)
    assert pooled.mean_matched_iou == pytest.approx((0.8 + 1 + 0.75) / 3)
    assert pooled.panoptic_quality == pytest.approx((0.8 + 1 + 0.75) / (3 + 2 / 2 + 1 / 2))


def test_a_cell_that_fits_two_takes_the_better_one_into_the_matched_iou():
    pooled = at_half((row("1 10", "1 9"), row("1 9")))
    assert pooled.mean_matched_iou == pytest.approx(1)


def test_pairs_below_one_half_are_matched_for_the_largest_iou():
    # Two truths of ten pixels, two predictions that both overlap both.
    truth, found = row("1 10", "11 10"), row("1 1 14 7", "4 10")
    pooled = pool([average_precision(truth, found, thresholds=[0.05]).counts])
    assert pooled.counts.tp == 2
    assert pooled.mean_matched_iou == pytest.approx((7 / 11 + 7 / 13) / 2)


def test_ratios_of_nothing_are_undefined():
    none, one = row(), row("1 5")
    for pooled, undefined in (
        (at_half((none, none)), {"precision", "recall", "f1", "average_precision"}),
        (at_half((one, none)), {"precision"}),
        (at_half((none, one)), {"recall"}),
    ):
        ratios = pooled.to_dict()
        for name in ("precision", "recall", "f1", "average_precision"):
            assert np.isnan(ratios[name][0]) == (name in undefined), name
        assert np.isnan(ratios["mean_matched_iou"][0])


def test_variants_without_pairs_have_no_iou_sum():
    for variant in VARIANTS:
        counts = average_precision(row("1 5"), row("1 5"), variant=variant).counts
        is_known = variant in ("competition", "pooled", "hungarian-ge")
        assert np.isfinite(counts.iou_sum).all() == is_known


def shifted(rng):
    """A label image of discs and bars, and the same with cells moved, cut and lost."""
    truth = np.zeros((60, 60), np.int32)
    for number, (y, x) in enumerate(np.ndindex(6, 6), start=1):
        height, width = rng.integers(4, 10, 2)
        truth[10 * y : 10 * y + height, 10 * x : 10 * x + width] = number
    found = np.roll(truth, rng.integers(-2, 3, 2), axis=(0, 1))
    found[rng.random(found.shape) < 0.05] = 0
    lost = rng.choice(36, 5, replace=False) + 1
    found[np.isin(found, lost)] = 0
    found[:3] = np.where(found[:3] > 0, found[:3] + 40, 0)
    return truth, np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int32)


@pytest.mark.reference
def test_counts_and_precision_are_those_of_cellpose(rng):
    metrics = pytest.importorskip("cellpose.metrics")
    images = [shifted(rng) for _ in range(4)]
    expected = metrics.average_precision(*map(list, zip(*images, strict=True)), threshold=LEVELS)
    ours = [average_precision(*both, variant="hungarian-ge", thresholds=LEVELS) for both in images]
    for ap, tp, fp, fn, one in zip(*expected, ours, strict=True):
        assert one.precision == pytest.approx(ap, abs=1e-6)
        sides = (one.counts.tp, one.counts.fp, one.counts.fn)
        assert [side.tolist() for side in sides] == [tp.tolist(), fp.tolist(), fn.tolist()]
    tp, fp, fn = (side.sum(axis=0) for side in expected[1:])
    assert 0 < tp[-1] < tp[0]
    pooled = pool([one.counts for one in ours])
    assert pooled.precision == pytest.approx(tp / (tp + fp))
    assert pooled.recall == pytest.approx(tp / (tp + fn))
    assert pooled.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_matched_iou_and_panoptic_quality_are_those_of_a_dense_assignment(rng):
    images = [shifted(rng) for _ in range(3)]
    sums, totals = np.zeros(len(LEVELS)), np.zeros(len(LEVELS))
    for truth, found in images:
        a = truth == np.arange(1, truth.max() + 1)[:, None, None]
        b = found == np.arange(1, found.max() + 1)[:, None, None]
        shared = np.einsum("iyx,jyx->ij", a.astype(int), b.astype(int))
        iou = shared / (a.sum((1, 2))[:, None] + b.sum((1, 2)) - shared)
        for level, threshold in enumerate(LEVELS):
            rows, columns = linear_sum_assignment(
                (iou >= threshold) * (1 + iou / 100), maximize=True
            )
            matched = iou[rows, columns]
            sums[level] += matched[matched >= threshold].sum()
            totals[level] += (len(a) + len(b)) / 2
    counts = [
        average_precision(*both, variant="hungarian-ge", thresholds=LEVELS).counts
        for both in images
    ]
    pooled = pool(counts)
    assert pooled.panoptic_quality == pytest.approx(sums / totals)
    assert pooled.mean_matched_iou == pytest.approx(sums / pooled.counts.tp)
    assert pooled.panoptic_quality == pytest.approx(pooled.f1 * pooled.mean_matched_iou)
