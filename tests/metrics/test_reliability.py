"""Honest confidences have no calibration error; those that rank have an AUC of 1."""

import numpy as np
import pytest

from cellflow.metrics.reliability import measure_reliability


def test_honest_confidences_have_almost_no_error(rng):
    confidences = rng.random(20_000)
    found = measure_reliability(confidences, rng.random(20_000) < confidences)
    assert found.calibration_error < 0.02
    assert found.auc == pytest.approx(5 / 6, abs=0.01)
    assert found.brier == pytest.approx(1 / 6, abs=0.01)


def test_a_boast_is_an_error_of_its_size(rng):
    found = measure_reliability(np.full(1000, 0.9), np.arange(1000) % 2 == 0)
    assert found.calibration_error == pytest.approx(0.4)
    assert found.share_right == 0.5
    assert found.auc == 0.5


def test_the_order_of_cells_that_are_equally_sure_does_not_matter():
    right = np.arange(100) < 50
    assert measure_reliability(np.full(100, 0.5), right).calibration_error == pytest.approx(0)
    sure = np.tile([0.2, 0.8], 50)
    for order in (right, ~right, right[::-1]):
        assert measure_reliability(sure, order).calibration_error == pytest.approx(0.3)


def test_a_perfect_order_and_its_reverse():
    right = np.array([False, False, True, True])
    assert measure_reliability(np.array([0.1, 0.2, 0.3, 0.4]), right).auc == 1
    assert measure_reliability(np.array([0.4, 0.3, 0.2, 0.1]), right).auc == 0


def test_what_nothing_tells_of_is_nan():
    nothing = measure_reliability(np.zeros(0), np.zeros(0, bool))
    assert nothing.n_cells == 0
    assert np.isnan(nothing.brier)
    assert np.isnan(measure_reliability(np.ones(3), np.ones(3, bool)).auc)
