"""The fit finds what made the data, equally each time, and bears constant features."""

import numpy as np
import pytest

from cellflow.network.logistic import fit_logistic, softmax


def test_probabilities_are_those_that_made_the_data(rng):
    x = rng.normal(size=(20_000, 2)) * [1, 50]
    truth = 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.02 * x[:, 1] + 0.5)))
    y = (rng.random(len(x)) < truth).astype(int)
    fitted = fit_logistic(x, y, 2, 1e-6)
    assert fitted.probabilities(x)[:, 1] == pytest.approx(truth, abs=0.03)
    assert fitted.weights[0] == pytest.approx(-fitted.weights[1], rel=1e-3)


def test_equal_data_give_equal_weights_and_a_constant_feature_none(rng):
    x = np.column_stack([rng.normal(size=50), np.full(50, 7.0), rng.normal(size=50)])
    y = rng.integers(0, 3, 50)
    one, other = (fit_logistic(x, y, 3, 0.1) for _ in range(2))
    assert (one.weights == other.weights).all()
    assert (one.weights[:, 1] == 0).all()
    assert one.probabilities(x).sum(axis=1) == pytest.approx(1)


def test_a_large_penalty_leaves_the_shares_of_the_classes(rng):
    x, y = rng.normal(size=(40, 4)), np.repeat([0, 1], [30, 10])
    probabilities = fit_logistic(x, y, 2, 1e4).probabilities(x)
    assert probabilities[:, 1] == pytest.approx(0.25, abs=1e-3)


def test_softmax_bears_large_scores():
    assert softmax(np.array([1000.0, 0.0])).tolist() == [1.0, 0.0]


def test_with_a_common_scale_faint_features_count_little(rng):
    x, y = rng.normal(size=(40, 30)) * 0.01, np.tile([0, 1], 20)
    x[:, 0] += y
    weights = fit_logistic(x, y, 2, 0.1, common_scale=True).weights[1]
    assert abs(weights[0]) > 10 * abs(weights[1:]).max()
    assert abs(fit_logistic(x, y, 2, 0.1).weights[1][1:]).max() > abs(weights[0])
