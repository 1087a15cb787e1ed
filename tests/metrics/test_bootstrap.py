"""Error bars: what they mean, and what they refuse."""

import time

import numpy as np
import pytest
from scipy import stats

from cellflow.errors import DataError
from cellflow.metrics.bootstrap import mean_interval, paired_difference, resampled_sums


def test_equal_seeds_give_equal_intervals(rng):
    values = rng.random(30)
    first = mean_interval(values, rng=np.random.default_rng(5))
    second = mean_interval(values, rng=np.random.default_rng(5))
    assert (first.low, first.high) == (second.low, second.high)
    assert first.low < first.estimate < first.high


def test_the_interval_of_many_values_is_students(rng):
    values = rng.normal(0.3, 0.1, 400)
    found = mean_interval(values, rng=rng)
    reach = stats.t.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert found.high - found.estimate == pytest.approx(reach, rel=0.05)


def test_a_stratum_is_always_drawn_whole(rng):
    # Within each type all images are equal, so nothing varies.
    values, kinds = np.array([0.1] * 5 + [0.9] * 5), ["a"] * 5 + ["b"] * 5
    found = mean_interval(values, rng=rng, strata=kinds)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_clusters_widen_the_interval(rng):
    values = np.repeat(rng.random(10), 6)
    wells = np.repeat([f"w{k}" for k in range(10)], 6).tolist()
    alone = mean_interval(values, rng=rng)
    together = mean_interval(values, rng=rng, clusters=wells)
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


def test_images_without_a_cluster_stand_alone(rng):
    values = rng.random(12)
    with_none = mean_interval(values, rng=np.random.default_rng(1), clusters=[None] * 12)
    without = mean_interval(values, rng=np.random.default_rng(1))
    assert with_none == without


def test_one_image_has_no_interval(rng):
    found = mean_interval(np.array([0.4]), rng=rng)
    assert found.estimate == 0.4
    assert np.isnan(found.low)


def test_no_image_is_an_error(rng):
    with pytest.raises(DataError, match="no image"):
        mean_interval(np.zeros(0), rng=rng)


def test_a_paired_difference_is_narrower_than_its_parts(rng):
    easy = rng.random(40)
    a, b = easy + 0.05 + rng.normal(0, 0.01, 40), easy
    found = paired_difference(a, b, rng=rng)
    assert found.low > 0.04
    assert found.high < 0.06


def test_all_rows_share_the_draws(rng):
    values = rng.random((1, 20))
    sums = resampled_sums(np.concatenate([values, 2 * values]), rng=rng, n_draws=100)
    assert sums[1] == pytest.approx(2 * sums[0])


@pytest.mark.slow
@pytest.mark.parametrize("n_images", [30, 119])
def test_the_interval_covers_as_often_as_it_says(n_images):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = rng.beta(2, 3, n_images)
        found = mean_interval(values, rng=rng, n_draws=1000)
        hits += found.low <= 0.4 <= found.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_ten_thousand_draws_over_the_whole_training_set_are_quick(rng):
    started = time.perf_counter()
    mean_interval(rng.random(606), rng=rng, strata=["a", "b", "c"] * 202)
    # A hundred times what it takes; a loop over draws would not make it.
    assert time.perf_counter() - started < 20
