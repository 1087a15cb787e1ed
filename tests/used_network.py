"""A network as training leaves it: its normalisations have seen something."""

import torch
from torch import nn

from cellflow.config import NetworkConfig
from cellflow.network.cpnet import build_network


def used_network(channels, generator):
    """Give one with random weights, and random slopes, shifts and statistics of each norm."""
    network = build_network(NetworkConfig(channels_per_level=channels), generator).eval()
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for tensor in (norm.running_mean, norm.bias):
                    tensor.normal_(0, 0.3, generator=generator)
                for tensor in (norm.running_var, norm.weight):
                    tensor.uniform_(0.3, 2, generator=generator)
    return network
