"""What images can show, and how often luck turns the order."""

import numpy as np
import pytest
from scipy import stats

from cellflow.comparison.formatting import visible_text
from cellflow.comparison.power import (
    flip_chance,
    holm,
    is_beyond_chance,
    paired_p_value,
    sign_flip_p_value,
    smallest_visible,
)
from cellflow.interval import Interval


def test_four_times_the_images_show_half_the_difference():
    found = smallest_visible(0.01, 30, [30, 120])
    assert found == pytest.approx({30: 0.028, 120: 0.014}, abs=1e-4)


def test_the_smallest_visible_difference_is_seen_with_eighty_percent_power(rng):
    error = 0.01
    difference = smallest_visible(error, 50, [50])[50]
    seen = np.abs(difference + rng.normal(0, error, 100_000)) > 1.96 * error
    assert seen.mean() == pytest.approx(0.8, abs=0.01)


def test_with_few_degrees_of_freedom_a_difference_must_be_larger():
    found = smallest_visible(0.01, 4, [4, 400], freedom=3)
    reach = 0.01 * (stats.t.ppf(0.975, 3) + stats.t.ppf(0.8, 3))
    assert found == pytest.approx({4: reach, 400: 0.0028}, rel=0.01)
    assert np.isnan(smallest_visible(0.01, 4, [4], freedom=0)[4])


def test_where_no_difference_is_large_enough_none_is_visible():
    found = smallest_visible(0.01, 5, [5, 6, 30], freedom=4, n_groups=5)
    assert found[5] == np.inf  # of five groups no p is below 0.0625
    assert 0 < found[30] < found[6] < 1
    assert smallest_visible(0.5, 10, [10], freedom=9, n_groups=10)[10] == np.inf
    assert [visible_text(size) for size in (0.1234, np.inf)] == ["0.123", "none"]


def test_the_chance_of_a_flip_is_that_of_drawn_leaderboards(rng):
    images = rng.normal(0.004, 0.067, (4000, 240))
    public, private = images[:, :80].mean(axis=1), images[:, 80:].mean(axis=1)
    found = flip_chance(0.004, 0.067 / np.sqrt(30), 30, n_hidden=240, public_share=1 / 3)
    assert found == pytest.approx((public * private < 0).mean(), abs=0.02)


def test_equal_methods_flip_half_of_the_time_and_a_sure_difference_never():
    hidden = {"n_hidden": 240, "public_share": 0.3}
    assert flip_chance(0.0, 0.01, 30, **hidden) == pytest.approx(0.5)
    assert flip_chance(0.0, 0.0, 30, **hidden) == 0.5
    assert flip_chance(-0.2, 0.0, 30, **hidden) == 0
    assert flip_chance(-0.2, 0.001, 30, **hidden) == pytest.approx(0)
    assert np.isnan(flip_chance(0.1, float("nan"), 1, **hidden))


def test_three_equal_differences_can_only_be_as_sure_as_their_flips():
    assert sign_flip_p_value(np.full(3, 0.1), np.random.default_rng(0)) == (2 / 8, True)


def test_the_exact_and_the_random_permutation_test_agree(rng):
    differences = rng.normal(0.05, 0.1, 14)
    exact, is_exact = sign_flip_p_value(differences, rng)
    p, is_also_exact = sign_flip_p_value(np.concatenate([differences, [0.0]]), rng)
    assert (is_exact, is_also_exact) == (True, False)
    assert p == pytest.approx(exact, abs=0.02)


def test_holm_corrects_for_the_number_of_pairs_and_keeps_the_order():
    assert holm([0.2]) == [0.2]
    assert holm([0.001, 0.5, 0.02]) == pytest.approx([0.003, 0.5, 0.04])
    # A larger p never becomes the smaller one, and none exceeds 1.
    assert holm([0.4, 0.35, 0.9]) == [1.0, 1.0, 1.0]


def test_images_of_one_cluster_change_sides_together():
    differences = np.full(6, 0.1)
    assert paired_p_value(differences, [None] * 6, 0) == (2 / 2**6, True)
    assert paired_p_value(differences, ["w", "w", "v", "v", None, None], 0) == (2 / 2**4, True)


@pytest.mark.parametrize(
    ("low", "p_value", "expected"), [(0.01, 0.04, True), (0.01, 0.06, False), (-0.01, 0.04, False)]
)
def test_beyond_chance_needs_interval_and_p(low, p_value, expected):
    assert is_beyond_chance(Interval(estimate=0.1, low=low, high=0.3), p_value) is expected


def test_without_an_interval_nothing_is_beyond_chance():
    assert not is_beyond_chance(Interval(estimate=0.1, low=np.nan, high=np.nan), 0.01)
