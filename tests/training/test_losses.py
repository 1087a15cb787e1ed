"""Losses: drawn values and parity with Cellpose's."""

import numpy as np
import pytest
import torch

from cellflow.training.losses import flow_and_cell_loss


def test_a_perfect_output_has_no_flow_loss_and_hardly_any_cell_loss():
    flows = torch.tensor([0.6, 0.8]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    cells = torch.ones(1, 4, 4)
    output = torch.cat([5 * flows, torch.full((1, 1, 4, 4), 30.0)], 1)
    flow_loss, cell_loss = flow_and_cell_loss(output, flows, cells, torch.ones(1, 4, 4))
    assert flow_loss == 0
    assert cell_loss < 1e-6


def test_silence_costs_half_of_the_mean_squared_scaled_flow_and_log_two():
    flows = torch.zeros(1, 2, 2, 2)
    flows[0, 0] = 1
    ones = torch.ones(1, 2, 2)
    flow_loss, cell_loss = flow_and_cell_loss(torch.zeros(1, 3, 2, 2), flows, ones, ones)
    assert flow_loss == pytest.approx(25 / 2 / 2)
    assert cell_loss == pytest.approx(np.log(2))


def test_half_precision_output_is_compared_in_float32():
    output = torch.zeros(1, 3, 2, 2, dtype=torch.bfloat16)
    ones = torch.ones(1, 2, 2)
    losses = flow_and_cell_loss(output, torch.zeros(1, 2, 2, 2), ones, ones)
    assert all(loss.dtype == torch.float32 for loss in losses)


def test_a_pixel_without_weight_adds_nothing_and_changes_nothing_of_the_others(rng):
    output = torch.from_numpy(rng.standard_normal((1, 3, 2, 4)))
    flows, cells = torch.zeros(1, 2, 2, 4), torch.ones(1, 2, 4)
    weights = torch.ones(1, 2, 4)
    weights[..., 2:] = 0
    halves = [flow_and_cell_loss(output, flows, cells, w) for w in (weights, 1 - weights)]
    whole = flow_and_cell_loss(output, flows, cells, torch.ones(1, 2, 4))
    torch.testing.assert_close([a + b for a, b in zip(*halves, strict=True)], list(whole))
    output[..., 2:] = 1e6
    assert flow_and_cell_loss(output, flows, cells, weights) == halves[0]


@pytest.mark.reference
def test_the_sum_is_cellposes_loss(rng):
    from cellpose.train import _loss_fn_seg

    flows = rng.standard_normal((2, 2, 16, 16)).astype(np.float32)
    cells = (rng.random((2, 16, 16)) > 0.4).astype(np.float32)
    output = torch.from_numpy(rng.standard_normal((2, 3, 16, 16)).astype(np.float32))
    theirs = _loss_fn_seg(np.concatenate([cells[:, None], flows], 1), output, torch.device("cpu"))
    target = torch.from_numpy(flows), torch.from_numpy(cells), torch.ones(2, 16, 16)
    ours = sum(flow_and_cell_loss(output, *target))
    assert ours == pytest.approx(theirs.item(), rel=1e-6)
