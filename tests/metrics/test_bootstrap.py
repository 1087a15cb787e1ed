"""Error bars: what they mean, and what they refuse."""

import time

import numpy as np
import pytest
from scipy import stats

from cellflow.errors import DataError
from cellflow.metrics.bootstrap import (
    degrees_of_freedom,
    interval_of,
    mean_interval,
    paired_difference,
    resampled_sums,
    standard_error,
)


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


def test_the_draws_spread_as_far_as_the_unbiased_variance_says(rng):
    values = rng.random((1, 5))
    draws = resampled_sums(values, rng=rng, n_draws=100_000)[0] / 5
    assert draws.mean() == pytest.approx(values.mean(), abs=0.002)
    expected = values.std(ddof=1) / np.sqrt(5)
    assert standard_error(draws, 4.0) == pytest.approx(expected, rel=0.02)


def test_a_stratum_of_one_cluster_is_joined_to_the_next(rng):
    # Alone, "b" would not vary at all, and the interval would miss how far it lies from the rest.
    values = np.array([0.1, 0.2, 0.3, 0.9])
    joined = mean_interval(values, rng=rng, strata=["a", "a", "c", "b"])
    assert joined.high - joined.low > 0.3
    assert degrees_of_freedom(values, ["a", "a", "c", "b"]) <= 2
    everyone = mean_interval(values, rng=rng, strata=["a", "b", "c", "d"])
    assert not np.isnan(everyone.low)


def test_one_cluster_of_several_images_has_no_interval(rng):
    found = mean_interval(np.array([0.4, 0.5]), rng=rng, clusters=["w", "w"])
    assert np.isnan(found.low)
    assert degrees_of_freedom(np.array([0.4, 0.5]), clusters=["w", "w"]) == 0


def test_degrees_of_freedom_are_those_of_what_varies(rng):
    values = np.concatenate([rng.normal(0, 1, 3), np.zeros(50)])
    kinds = ["a"] * 3 + ["b"] * 50
    assert degrees_of_freedom(values, kinds) == pytest.approx(2)
    assert degrees_of_freedom(np.zeros(53), kinds) == 51


def test_fewer_degrees_of_freedom_give_a_wider_interval(rng):
    draws = rng.normal(0, 1, 100_000)
    widths = [interval_of(0.0, draws, freedom).high for freedom in (3.0, 9.0, 1000.0)]
    assert widths == pytest.approx([stats.t.ppf(0.975, df) for df in (3, 9, 1000)], rel=0.05)


def test_draws_without_a_value_are_passed_over(rng):
    draws = np.concatenate([rng.random(1000), [np.nan] * 10])
    assert interval_of(0.5, draws, 50.0) == interval_of(0.5, draws[:1000], 50.0)
    assert np.isnan(interval_of(0.5, draws[1000:], 50.0).low)


def test_memory_of_many_images_is_bounded_and_the_draws_the_same_kind(rng, monkeypatch):
    monkeypatch.setattr("cellflow.metrics.bootstrap._MOST_COUNTS", 64)
    values = rng.random(30)
    found = mean_interval(values, rng=rng)
    reach = stats.t.ppf(0.975, 29) * values.std(ddof=1) / np.sqrt(30)
    assert found.high - found.low == pytest.approx(2 * reach, rel=0.1)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_handful_of_clusters_gets_students_interval(rng, n):
    values = rng.random(n)
    found = mean_interval(values, rng=rng)
    reach = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    assert found.low == pytest.approx(values.mean() - reach, abs=0.03 * reach)
    assert found.high == pytest.approx(values.mean() + reach, abs=0.03 * reach)


@pytest.mark.parametrize("n", [2, 3, 4, 6, 8])
def test_of_few_clusters_the_interval_holds_the_truth_as_often_as_it_says(rng, n):
    held = 0
    for _ in range(400):
        found = mean_interval(rng.normal(0, 1, n), rng=rng, n_draws=400)
        held += found.low <= 0 <= found.high
    # Of 400, four standard errors below 0.95; the draws alone hold it in 48 to 93 %.
    assert held / 400 > 0.906


def test_an_interval_does_not_say_what_cannot_be(rng):
    found = mean_interval(np.array([0.4, 0.6]), rng=rng, within=(0, 1))
    assert (found.low, found.high) == (0, 1)
    found = paired_difference(np.array([0.4, 0.6]), np.array([0.9, 0.2]), rng=rng)
    assert (found.low, found.high) == (-1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("n_images", "per_well"), [(30, 1), (119, 1), (30, 3), (120, 3)])
def test_stratified_intervals_cover_with_and_without_wells(n_images, per_well):
    rng = np.random.default_rng(0)
    n_wells = n_images // per_well
    kinds = np.repeat(["a", "b"], [n_wells // 2, n_wells - n_wells // 2]).repeat(per_well).tolist()
    wells = np.repeat([f"w{k}" for k in range(n_wells)], per_well).tolist()
    noise = rng.gamma(2, 1, (2000, n_wells, 1)) + rng.gamma(2, 1, (2000, n_wells, per_well))
    values = noise.reshape(2000, -1)
    draws = resampled_sums(values, rng=rng, strata=kinds, clusters=wells, n_draws=1000) / n_images
    hits = 0
    for row, drawn in zip(values, draws, strict=True):
        freedom = degrees_of_freedom(row - row.mean(), kinds, wells)
        found = interval_of(float(row.mean()), drawn, freedom)
        hits += found.low <= 4 <= found.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.025)


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


@pytest.mark.parametrize("which", ["strata", "clusters"])
def test_every_image_has_its_stratum_and_cluster(which, rng):
    with pytest.raises(DataError, match=f"{which}: expected one for each of 3 images, not 2"):
        mean_interval(np.ones(3), rng=rng, **{which: ["a", "b"]})


def test_scores_are_paired_one_to_one(rng):
    with pytest.raises(DataError, match="3 scores cannot be paired with 1"):
        paired_difference(np.ones(3), np.ones(1), rng=rng)
