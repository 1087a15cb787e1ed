"""Scores of several methods from the same resamples."""

import numpy as np
import pytest
from scipy import stats

from cellflow.comparison.estimates import paired_estimates


def estimates(parts, wholes=None, n_draws=20_000, **design):
    parts = np.asarray(parts, np.float64)
    wholes = np.ones((1, 1, parts.shape[-1])) if wholes is None else np.asarray(wholes, float)
    return paired_estimates(parts, wholes, rng=np.random.default_rng(0), n_draws=n_draws, **design)


def test_means_have_students_intervals_and_differences_are_paired(rng):
    easy = rng.random(40)
    first, second = easy + 0.05 + rng.normal(0, 0.01, 40), easy
    found = estimates([first[None], second[None]])
    (difference,) = found.differences
    assert difference.estimate == pytest.approx((first - second).mean())
    reach = stats.t.ppf(0.975, 39) * (first - second).std(ddof=1) / np.sqrt(40)
    assert difference.high - difference.low == pytest.approx(2 * reach, rel=0.05)
    wide = found.scores[1].high - found.scores[1].low
    assert wide > 10 * (difference.high - difference.low)


def test_pairs_come_in_the_order_of_combinations():
    found = estimates([[[0.1] * 4], [[0.3] * 4], [[0.6] * 4]])
    assert [one.estimate for one in found.differences] == pytest.approx([-0.2, -0.5, -0.3])
    assert found.difference_draws.shape == (3, 20_000)


def test_a_ratio_of_sums_weights_images_by_their_content():
    found = estimates([[[9, 0]], [[9, 1]]], [[[9, 1]], [[9, 1]]])
    assert [one.estimate for one in found.scores] == pytest.approx([0.9, 1.0])


def test_the_mean_is_over_thresholds():
    found = estimates([[[1, 1], [0, 0]], [[1, 1], [1, 1]]])
    assert [one.estimate for one in found.scores] == [0.5, 1]


def test_the_interval_of_a_ratio_is_that_of_its_residuals(rng):
    wholes = rng.integers(5, 60, (1, 1, 200)).astype(float)
    parts = wholes * rng.beta(5, 3, (1, 1, 200))
    found = estimates(parts, wholes)
    ratio = parts.sum() / wholes.sum()
    residuals = (parts - ratio * wholes).ravel() / wholes.mean()
    reach = stats.t.ppf(0.975, 199) * residuals.std(ddof=1) / np.sqrt(200)
    (score,) = found.scores
    assert score.estimate == pytest.approx(ratio)
    assert score.high - score.low == pytest.approx(2 * reach, rel=0.05)


def test_a_ratio_of_nothing_has_neither_estimate_nor_interval():
    found = estimates([[[0.0, 0.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]])
    assert np.isnan(found.scores[0].estimate)
    assert np.isnan(found.differences[0].low)


def test_equal_methods_differ_in_no_draw(rng):
    same = rng.random((1, 50))
    found = estimates([same, same], strata=["a", "b"] * 25)
    assert (found.difference_draws == 0).all()
