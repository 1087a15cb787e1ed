"""The decoder's levels computed before their input is upsampled, with the same outputs.

Cellpose's decoder doubles the sides of what comes from the level below, copying each pixel four
times, and then normalises, projects (1×1) and convolves (3×3) the copies. But normalisation, ReLU
and projection give the same for each copy, so they can be done before. And of the nine pixels that
a 3×3 convolution sees in a doubled image at most four are different: it is a transposed convolution
of the small image, with a kernel of 4×4 and a stride of 2, which takes 16 products for each pixel
of that image, input map and output map instead of 36.
"""

import torch
from torch import nn
from torch.nn import functional

from cellflow.network.cpnet import CPnet


def delay_upsampling(network: CPnet, device: torch.device) -> CPnet:
    """Let the decoder's levels see their input before it is doubled, where that is faster.

    Parameters
    ----------
    network : CPnet
        Changed in place; its weights stay what they are, and keep their names.
    device : torch.device
        Where it will run.

    Returns
    -------
    CPnet
        The same network. Outputs and gradients differ by rounding. In training the running
        variances of three normalisations differ too, by a share of 3 / (4 n), n being the pixels
        of a batch at the level below: the variance is that of the values without their copies.

    Notes
    -----
    Done on a CPU, where it takes a tenth to a seventh off a training step and an eighth off a tile
    (docs/log.md); `FusedNetwork` does the same by itself. On a GPU it was not measured, and the
    network stays as it is. So does a network that was changed before.
    """
    doubling = network.upsample.upsampling
    if device.type != "cpu" or isinstance(doubling, nn.Identity):
        return network
    network.upsample.upsampling = nn.Identity()
    # The last level is the deepest, whose input is not doubled.
    for block in network.upsample.up[:-1]:
        block.proj.add_module("doubling", doubling)
        block.conv[0][2].__class__ = DoublingConvolution
    return network


class DoublingConvolution(nn.Conv2d):
    """A 3×3 convolution of an image doubled by copying pixels, computed from the small image."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve (N, C, H, W) to (N, K, 2 H, 2 W)."""
        return functional.conv_transpose2d(
            input, doubling_kernel(self.weight), self.bias, stride=2, padding=1
        )


def doubling_kernel(weight: torch.Tensor) -> torch.Tensor:
    """Give the (C, K, 4, 4) transposed convolution of stride 2 for (K, C, 3, 3) weights.

    Notes
    -----
    Position (i, j) sums the weights through which a pixel's copies reach that place of the output:
    a 2×2 box over the weights, turned around as transposed convolutions take it.
    """
    sums = functional.avg_pool2d(weight, 2, stride=1, padding=1, divisor_override=1)
    kernel = sums.flip(-1, -2).transpose(0, 1)
    return kernel.contiguous(memory_format=torch.channels_last)
