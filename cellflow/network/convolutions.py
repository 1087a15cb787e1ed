"""The network's convolutions with a quicker gradient, where oneDNN's is slow.

In channels-last, oneDNN's AVX2 kernels compute outputs and input gradients close to a core's limit,
but the gradient of 3×3 weights at a third of it, so that it takes half of a training step; and 1×1
convolutions, which are matrix products, take a slow generic path. Both are computed here as matrix
products by BLAS. With AVX-512 oneDNN is faster and stays (docs/log.md).
"""

from itertools import product
from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_input

FEWEST_INPUTS = 16
"""With fewer feature maps oneDNN is quicker: the matrices would be too narrow."""

BAND_VALUES = 1 << 18
"""Values that a thread multiplies at once: 1 MiB, of which a core's own caches hold most. A quarter
and four times as many took 5 to 50 % longer, whole images up to twice as long."""


def quicken_gradients(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Let a network's convolutions compute their gradients by matrix products, where it is faster.

    Parameters
    ----------
    network : nn.Module
        Changed in place; its weights stay what they are, outputs and gradients differ by rounding.
    device : torch.device
        Where it is trained.
    dtype : torch.dtype
        What its convolutions compute in.

    Notes
    -----
    That is on a CPU with AVX2 but not AVX-512, in float32. It is decided by what the processor
    reports and not by timing: a continued run must not choose differently.
    """
    if device.type != "cpu" or dtype != torch.float32:
        return
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_possible(module):
            module.__class__ = QuickConvolution


class QuickConvolution(nn.Conv2d):
    """A convolution of 1×1 or 3×3 pixels, stride 1 and same size, with gradients by BLAS."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve; (N, C, H, W) in any layout, quickest in channels-last."""
        if self.kernel_size == (1, 1):
            rows = functional.linear(input.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias)
            return rows.permute(0, 3, 1, 2)
        output = _Convolution.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, output)


def weight_gradient(image: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Give the gradient of the weights of a 3×3 convolution with zeros around the image.

    Parameters
    ----------
    image : (N, C, H, W) float tensor
        What was convolved.
    slope : (N, K, H, W) float tensor
        Gradient of the output.

    Returns
    -------
    (K, C, 3, 3) float tensor

    Notes
    -----
    The gradient at an offset is the product of the output's gradient, pixels × K, and of the image
    shifted by that offset, pixels × C. The three horizontal shifts stand side by side, pixels
    × 3 C; the vertical ones are the same array from another row on. So 18 · C · K operations a
    pixel, in three products for each band of rows, with 3 C values copied.
    """
    n_images, n_inputs, height, width = image.shape
    n_outputs = slope.shape[1]
    pixels, slopes = image.permute(0, 2, 3, 1), slope.permute(0, 2, 3, 1)
    n_rows = max(1, min(height, BAND_VALUES // (3 * n_inputs * width)))
    n_at_once = min(n_images, torch.get_num_threads())  # BLAS gives each thread a matrix
    # One more row above and below; the left and right edges are never written and stay zero.
    shifted = image.new_zeros(n_at_once, n_rows + 2, width, 3, n_inputs)
    gradient = image.new_zeros(3, n_at_once, n_outputs, 3 * n_inputs)
    for number, first in product(range(0, n_images, n_at_once), range(0, height, n_rows)):
        some, last = slice(number, number + n_at_once), min(first + n_rows, height)
        rows = slopes[some, first:last].flatten(1, 2).transpose(1, 2)
        band = shifted[: len(rows)]
        _shift(pixels[some], first, last, band)
        for vertical in range(3):
            moved = band[:, vertical : vertical + last - first].flatten(1, 2).flatten(2)
            gradient[vertical, : len(rows)].baddbmm_(rows, moved)
    return gradient.sum(1).view(3, n_outputs, 3, n_inputs).permute(1, 3, 0, 2)


def _shift(pixels: torch.Tensor, first: int, last: int, shifted: torch.Tensor) -> None:
    """Put rows ``first - 1`` to ``last`` of images side by side in three horizontal shifts."""
    above, below = max(first - 1, 0), min(last + 1, pixels.shape[1])
    start = above - first + 1
    stop = start + below - above
    shifted[:, :start].zero_()
    shifted[:, stop:].zero_()
    source, target = pixels[:, above:below], shifted[:, start:stop]
    target[:, :, 1:, 0] = source[:, :, :-1]
    target[:, :, :, 1] = source
    target[:, :, :-1, 2] = source[:, :, 1:]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, image: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        context.save_for_backward(image, weight)
        return functional.conv2d(image, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(context: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        image, weight = context.saved_tensors
        needs_image, needs_weight, needs_bias = context.needs_input_grad
        of_image = of_weight = of_bias = None
        if needs_image:
            of_image = conv2d_input(image.shape, weight, slope, padding=1)  # type: ignore[no-untyped-call]
        if needs_weight:
            of_weight = weight_gradient(image, slope)
        if needs_bias:
            of_bias = slope.sum((0, 2, 3))
        return of_image, of_weight, of_bias


def _is_possible(layer: nn.Conv2d) -> bool:
    size = layer.kernel_size[0]
    return (
        size in (1, 3)
        and layer.kernel_size == (size, size)
        and layer.padding == (size // 2, size // 2)
        and layer.in_channels >= FEWEST_INPUTS
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and layer.padding_mode == "zeros"
    )
