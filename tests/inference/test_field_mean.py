"""Passes averaged, and how far they are apart."""

import numpy as np
import pytest
import torch

from cellflow.inference.field_mean import FieldMean, PendingField
from cellflow.network.cpnet import FLOW_SCALE


def mean_of(outputs):
    mean = FieldMean()
    for output in outputs:
        mean.add(output)
    return mean.result()


def test_one_pass_is_its_own_mean_and_has_no_spread():
    output = torch.rand(3, 4, 5)
    mean, spread = mean_of([output])
    assert spread is None
    assert torch.equal(mean[:2], output[:2] / FLOW_SCALE)
    assert torch.equal(mean[2], output[2])


def test_the_spread_is_the_distance_of_the_flows_from_their_mean(rng):
    outputs = rng.normal(0, FLOW_SCALE, (7, 3, 4, 5)).astype(np.float32)
    before = outputs.copy()
    mean, spread = mean_of(torch.from_numpy(outputs))
    assert (outputs == before).all()
    flows = outputs[:, :2] / FLOW_SCALE
    assert mean[:2].numpy() == pytest.approx(flows.mean(axis=0), abs=1e-5)
    assert mean[2].numpy() == pytest.approx(outputs[:, 2].mean(axis=0), abs=1e-5)
    distance = ((flows - flows.mean(axis=0)) ** 2).sum(axis=1).mean(axis=0) ** 0.5
    assert spread.numpy() == pytest.approx(distance, abs=1e-4)


def test_equal_passes_have_spread_0_and_opposite_unit_flows_1():
    unit = torch.zeros(3, 1, 2)
    unit[0] = FLOW_SCALE
    assert mean_of([unit, unit, unit])[1].numpy() == pytest.approx(0, abs=1e-3)
    mean, spread = mean_of([unit, -unit])
    assert (mean == 0).all()
    assert (spread == 1).all()


def test_no_pass_has_no_mean():
    with pytest.raises(ValueError, match="no output"):
        FieldMean().result()


def test_a_pending_field_becomes_the_record():
    mean, spread = mean_of([torch.rand(3, 4, 5), torch.rand(3, 4, 5)])
    field = PendingField(mean, spread, torch.ones(256)).result()
    assert (field.flows == mean[:2].numpy()).all()
    assert (field.spread == spread.numpy()).all()
