"""Dropping candidates gives the cells that following the flows again would."""

import numpy as np
import pytest

from cellflow.dynamics.candidates import find_candidates
from cellflow.dynamics.segment import flows_to_labels
from cellflow.records import FlowField
from cellflow.targets.flows import labels_to_flows

HOW = {"n_steps": 200, "tolerance": 1e-3}


def noisy_field(rng, noise=0.6):
    """Flows of blobs with noise: cells of all sizes and flow errors."""
    labels = np.zeros((90, 120), np.int32)
    y, x = np.mgrid[:90, :120]
    for k in range(1, 25):
        row, column = rng.uniform(5, 85), rng.uniform(5, 115)
        labels[(y - row) ** 2 + (x - column) ** 2 < rng.uniform(2, 9) ** 2] = k
    flows = labels_to_flows(labels) + rng.normal(0, noise, (2, 90, 120)).astype(np.float32)
    cellprob = np.where(labels > 0, 2.0, -2.0) + rng.normal(0, 1.5, labels.shape)
    return FlowField(
        flows=flows.astype(np.float32),
        cellprob=cellprob.astype(np.float32),
        style=np.zeros(256, np.float32),
    )


@pytest.mark.needs_jit  # whole images, 27 times: minutes in plain Python
@pytest.mark.parametrize("cellprob_threshold", [-2.0, 0.0, 1.0])
@pytest.mark.parametrize("flow_threshold", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("min_size", [1, 15, 60])
def test_the_kept_candidates_are_the_cells(rng, cellprob_threshold, flow_threshold, min_size):
    field = noisy_field(rng)
    found = find_candidates(field, cellprob_threshold=cellprob_threshold, min_size=0, **HOW)
    keep = (found.sizes >= min_size) & (found.flow_errors <= (flow_threshold or np.inf))
    labels = np.where(np.concatenate([[False], keep])[found.labels], found.labels, 0)
    expected = flows_to_labels(
        field.flows,
        field.cellprob,
        cellprob_threshold=cellprob_threshold,
        flow_threshold=flow_threshold,
        min_size=min_size,
        **HOW,
    )
    assert keep.sum() == expected.max()
    # Holes that were filled over a dropped cell may differ by its few pixels.
    assert ((labels > 0) != (expected > 0)).mean() < 0.002
    assert len(found.features) == len(found.sizes) == found.labels.max()


def test_what_is_too_small_for_all_is_left_out(rng):
    field = noisy_field(rng)
    found = find_candidates(field, cellprob_threshold=0.0, min_size=40, **HOW)
    assert found.sizes.min() >= 40
    assert set(np.unique(found.labels)) == set(range(len(found.sizes) + 1))


def test_an_image_without_cells_has_no_candidates():
    nothing = FlowField(
        flows=np.zeros((2, 20, 30), np.float32),
        cellprob=np.full((20, 30), -5, np.float32),
        style=np.zeros(256, np.float32),
    )
    found = find_candidates(nothing, cellprob_threshold=0.0, min_size=0, **HOW)
    assert len(found.sizes) == len(found.features) == 0
