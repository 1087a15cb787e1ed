"""The watershed: low before high, plateaus in the middle, nothing beyond the foreground."""

import numpy as np

from cellflow.baselines.flooding import flood


def test_water_meets_on_the_ridge():
    relief = np.array([[0, 1, 2, 3, 9, 1, 0]], np.float32)
    markers = np.array([[1, 0, 0, 0, 0, 0, 2]], np.int32)
    labels = flood(relief, markers, np.ones((1, 7), bool))
    assert labels[0, :4].tolist() == [1] * 4
    assert labels[0, 5:].tolist() == [2] * 2


def test_a_plateau_is_divided_in_the_middle():
    relief = np.ones((5, 20), np.float32)
    markers = np.zeros((5, 20), np.int32)
    markers[:, 0], markers[:, -1] = 1, 2
    labels = flood(relief, markers, np.ones((5, 20), bool))
    assert (labels[:, :10] == 1).all()
    assert (labels[:, 10:] == 2).all()


def test_water_stays_in_the_foreground_and_needs_a_marker():
    foreground = np.array([[1, 1, 0, 1, 1, 0, 1]], bool)
    markers = np.array([[1, 0, 0, 0, 2, 3, 0]], np.int32)
    labels = flood(np.zeros((1, 7), np.float32), markers, foreground)
    assert labels.tolist() == [[1, 1, 0, 2, 2, 0, 0]]


def test_nothing_flows_without_markers():
    nothing = np.zeros((3, 4), np.int32)
    assert not flood(np.zeros((3, 4), np.float32), nothing, np.ones((3, 4), bool)).any()
