"""What is measured of each cell."""

import numpy as np
import pytest

from cellflow.dynamics.cell_features import cell_features
from cellflow.errors import LabelError
from cellflow.targets.flows import labels_to_flows


def two_cells():
    labels = np.zeros((12, 20), np.int32)
    labels[2:8, 2:8], labels[3:10, 11:18] = 2, 5
    return labels, labels_to_flows(labels), np.where(labels == 2, 1.0, 3.0).astype(np.float32)


def test_a_sure_cell_of_its_own_flows_has_no_error_and_its_own_numbers():
    labels, flows, cellprob = two_cells()
    spread = np.where(labels == 5, 0.5, 0.0)
    found = cell_features(labels, flows, cellprob, spread)
    assert found.flow_errors == pytest.approx([0, 0], abs=1e-9)
    assert found.cellprob.tolist() == [1, 3]
    assert found.probability == pytest.approx(1 / (1 + np.exp([-1.0, -3.0])))
    assert found.areas.tolist() == [36, 49]
    assert found.spread.tolist() == [0, 0.5]
    assert found.select(np.array([False, True])).areas.tolist() == [49]


def test_flows_the_wrong_way_are_an_error_of_4_and_lower_the_score():
    labels, flows, cellprob = two_cells()
    wrong = np.where(labels == 5, -flows, flows)
    found = cell_features(labels, wrong, cellprob)
    assert found.flow_errors[0] == pytest.approx(0, abs=1e-9)
    assert found.flow_errors[1] > 3.5
    assert found.scores == pytest.approx(found.probability * np.exp(-found.flow_errors))
    assert found.spread is None


def test_scores_are_high_where_probability_and_flows_agree():
    labels = np.zeros((12, 30), int)
    labels[1:10, 1:10], labels[1:10, 11:20], labels[1:10, 21:30] = 2, 4, 5
    flows = labels_to_flows(labels)
    flows[:, labels == 4] *= -1
    cellprob = np.where(labels == 5, 0.0, 8.0)
    scores = cell_features(labels, flows, cellprob).scores
    assert scores[0] == pytest.approx(1 / (1 + np.exp(-8)), abs=1e-3)
    assert scores[1] < 0.03
    assert scores[2] == pytest.approx(0.5, abs=1e-3)


def test_a_network_that_shouts_gives_0_and_1_without_a_warning():
    labels, flows, _ = two_cells()
    found = cell_features(labels, flows, np.where(labels == 2, -1e6, 1e6).astype(np.float32))
    assert found.probability.tolist() == [0, 1]


def test_no_cells_have_no_features():
    nothing = cell_features(np.zeros((5, 6), int), np.zeros((2, 5, 6)), np.zeros((5, 6)))
    assert len(nothing) == 0
    assert nothing.scores.shape == (0,)


def test_sizes_that_differ_are_refused():
    with pytest.raises(LabelError, match="labels have shape"):
        cell_features(np.zeros((5, 6), int), np.zeros((2, 6, 5)), np.zeros((6, 5)))
