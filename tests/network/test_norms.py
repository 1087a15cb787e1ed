"""Absorbed normalisations change the outputs by rounding alone."""

import copy

import pytest
import torch
from torch import nn
from used_network import used_network

from cellflow.network.norms import absorb_norms


def count_norms(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("size", [(32, 32), (40, 56)])
def test_outputs_stay_the_same_up_to_rounding(size):
    generator = torch.Generator().manual_seed(0)
    network = used_network((4, 8, 16), generator)
    absorbed = absorb_norms(copy.deepcopy(network))
    images = torch.randn(2, 2, *size, generator=generator)
    with torch.inference_mode():
        for one, other in zip(network(images)[:2], absorbed(images)[:2], strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def test_of_cellposes_norms_25_are_left():
    network = used_network((32, 64, 128, 256), torch.Generator().manual_seed(0))
    assert count_norms(network) == 41
    assert count_norms(absorb_norms(network)) == 25
