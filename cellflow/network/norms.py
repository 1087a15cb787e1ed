"""A trained network with fewer batch normalisations, for prediction only."""

from typing import Any

import torch
from torch import nn

from cellflow.network.cpnet import CPnet, resdown, resup


def absorb_norms(network: CPnet) -> CPnet:
    """Fold the normalisations that are next to a convolution, without a ReLU between, into it.

    Parameters
    ----------
    network : CPnet
        Changed in place. Must not be trained or saved afterwards.

    Returns
    -------
    CPnet
        The same network, in evaluation mode; its outputs differ by rounding.

    Notes
    -----
    Folds 16 of the 41 normalisations of Cellpose's network: those before a projection (1×1, so that
    padding does not matter), and those after the first convolution of each pair in a down block.
    The others are between a sum or a pooling and a ReLU. Saved 4 % of the network's time on a CPU,
    where `FusedNetwork` now goes further; not measured on a GPU.
    """
    network.eval()
    for block in network.modules():
        if isinstance(block, resdown):
            for first, second in ((0, 1), (2, 3)):
                norm, convolution = block.conv[second][0], block.conv[first][2]
                _set(convolution, *norm_behind(convolution, *slope_and_shift(norm)))
                block.conv[second][0] = nn.Identity()
        if isinstance(block, resdown | resup):
            norm, convolution = block.proj[:2]
            _set(convolution, *norm_before(convolution, *slope_and_shift(norm)))
            block.proj[0] = nn.Identity()
    return network


def slope_and_shift(norm: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Give s and t of ``s x + t``, which the normalisation is when its statistics are fixed.

    Returns
    -------
    (C,) float64 tensor
    (C,) float64 tensor
    """
    slope = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return slope, norm.bias.detach().double() - norm.running_mean.double() * slope


def norm_behind(
    convolution: Any, slope: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the float64 weight and bias of a convolution followed by ``slope x + shift``."""
    weight, bias = convolution.weight.detach().double(), convolution.bias.detach().double()
    return weight * slope[:, None, None, None], bias * slope + shift


def norm_before(
    projection: Any, slope: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the float64 weight and bias of a 1×1 convolution of ``slope x + shift``."""
    weight, bias = projection.weight.detach().double(), projection.bias.detach().double()
    return weight * slope[None, :, None, None], bias + weight.sum((2, 3)) @ shift


@torch.no_grad()
def _set(convolution: Any, weight: torch.Tensor, bias: torch.Tensor) -> None:
    convolution.weight.copy_(weight)
    convolution.bias.copy_(bias)
