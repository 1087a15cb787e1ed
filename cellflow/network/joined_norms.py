"""Batch normalisation in training, fused with the elementwise operations around it.

Cellpose's network normalises and clips before each convolution, and its decoder adds two maps and
a feature of the style before that. PyTorch reads and writes whole feature maps for each of these,
forwards and backwards: half of a training step where the convolutions are quick, in bfloat16 on a
CPU. Here normalisation takes two passes forwards and two backwards, which include the rest.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cellflow.network.cpnet import CPnet, resdown, resup
from cellflow.network.norm_kernels import (
    n_chunks,
    scale_slopes,
    scale_values,
    sum_slopes,
    sum_values,
)
from cellflow.targets.threads import run_shares, split_evenly

FEWEST_VALUES = 1 << 21
"""In a batch's maps: 4 MiB. With fewer, PyTorch's layers are as quick, since such maps stay in the
caches, and Python needs a few tenths of a millisecond around the passes."""

LEAST_VALUES = 1 << 16
"""Values that make another thread worthwhile; they take about 0.03 ms."""

Pass = Callable[..., None]
Maps = NDArray[Any]


def join_norms(network: CPnet, device: torch.device, dtype: torch.dtype) -> None:
    """Fuse a network's normalisations in training with what is around them, where it is faster.

    Parameters
    ----------
    network : CPnet
        Changed in place; its weights stay what they are, and keep their names. Outputs, gradients
        and running statistics differ by rounding; in evaluation it computes what it did.
    device : torch.device
        Where it is trained.
    dtype : torch.dtype
        What its convolutions compute in.

    Notes
    -----
    That is on a CPU in bfloat16: it saves 7 to 13 % of a step of 8 crops of 128 or 160 px. In
    float32 it took as long as PyTorch's layers (docs/log.md).
    """
    if device.type != "cpu" or dtype is not torch.bfloat16:
        return
    for block in network.modules():
        if isinstance(block, resdown | resup):
            block.proj.__class__ = _Projection
            for layer in block.conv:
                is_styled = hasattr(layer, "full")
                layer.__class__ = _StyledConvolution if is_styled else _Convolution
    network.output.__class__ = _Convolution


class _Convolution(nn.Sequential):
    """Cellpose's normalisation, ReLU and convolution."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        norm, _, convolution = self
        return cast(torch.Tensor, convolution(normalize(norm, input, clip=True)))


class _Projection(nn.Sequential):
    """Cellpose's normalisation and convolution, and what may follow."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        norm, *layers = self
        output = normalize(norm, input, clip=False)
        for layer in layers:
            output = layer(output)
        return output


class _StyledConvolution(nn.Module):
    """Cellpose's ``batchconvstyle``: the same of a sum of two maps and a feature of the style."""

    full: nn.Module
    conv: nn.Sequential

    def forward(
        self,
        style: torch.Tensor,
        x: torch.Tensor,
        mkldnn: bool = False,
        y: torch.Tensor | None = None,
    ) -> torch.Tensor:
        norm, _, convolution = self.conv
        return cast(torch.Tensor, convolution(normalize(norm, x, y, self.full(style), clip=True)))


def normalize(
    norm: nn.Module,
    x: torch.Tensor,
    added: torch.Tensor | None = None,
    feature: torch.Tensor | None = None,
    *,
    clip: bool,
) -> torch.Tensor:
    """Normalise feature maps with the statistics of this batch.

    Parameters
    ----------
    norm : nn.BatchNorm2d
        With running statistics, which are updated; in evaluation they are used instead.
    x : (N, C, H, W) tensor
        If it is not bfloat16 on the CPU, or is small, PyTorch's layers are used.
    added : (N, C, H, W) tensor, optional
        Added to `x` before. Only with `feature`.
    feature : (N, C) tensor, optional
        Added too, the same for all pixels of an image.
    clip : bool
        Whether what is negative becomes 0.

    Raises
    ------
    ValueError
        Sizes or types do not fit together, or a map has a single value.
    """
    norm = cast(nn.BatchNorm2d, norm)
    is_joined = x.dtype is torch.bfloat16 and x.device.type == "cpu" and x.numel() >= FEWEST_VALUES
    if not (norm.training and is_joined):
        total = x if added is None else x + added
        total = total if feature is None else total + feature[:, :, None, None]
        return functional.relu(norm(total)) if clip else norm(total)
    if added is not None and (feature is None or (added.shape, added.dtype) != (x.shape, x.dtype)):
        raise ValueError(f"expected two maps of {tuple(x.shape)} {x.dtype}, and a feature")
    if feature is not None:
        if feature.shape != x.shape[:2]:
            raise ValueError(f"expected a feature for each of {tuple(x.shape[:2])}")
        feature = feature.float()
    if x.numel() < 2 * x.shape[1]:
        raise ValueError(f"expected more than one value for each map, found {tuple(x.shape)}")
    normalized = _Normalize.apply(norm, clip, x, added, feature, norm.weight, norm.bias)  # type: ignore[no-untyped-call]
    return cast(torch.Tensor, normalized)


class _Normalize(torch.autograd.Function):
    """``y = max(scale x + shift, floor)``, with ``scale = weight / deviation``, and its gradient.

    With s the gradient of y where it was not clipped and z = (x − mean) / deviation, that of the
    bias is Σ s, of the weight Σ s z, and of x scale (s − (Σ s + z Σ s z) / n), n being the values
    of a map. Reference: Ioffe & Szegedy, ICML 2015.
    """

    @staticmethod
    def forward(
        context: Any,
        norm: nn.BatchNorm2d,
        clip: bool,
        x: torch.Tensor,
        added: torch.Tensor | None,
        feature: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        total = x if feature is None else torch.empty_like(x)
        maps, out = _pixels(x), torch.empty_like(x)
        floor = np.float32(0 if clip else -np.inf)
        n_images, n_pixels, n_maps = maps.shape
        near = _middle_of(x)
        if added is not None:
            near = near + _middle_of(added)
        if feature is not None:
            near = near + feature[0].numpy()
        sums, squares = _of_chunks(
            sum_values,
            maps,
            None if added is None else _pixels(added.contiguous(memory_format=torch.channels_last)),
            None if feature is None else feature.numpy(),
            None if feature is None else _pixels(total),
            near,
        )
        n_values = n_images * n_pixels
        of_images = sums.reshape(n_images, -1, n_maps).sum(1, dtype=np.float64)
        apart = of_images.sum(0) / n_values
        variance = np.maximum(squares.sum(0, dtype=np.float64) / n_values - apart**2, 0)
        mean = near + apart
        _bring_forward(norm, mean, variance, n_values)
        deviation = np.sqrt(variance + norm.eps)
        scale = (weight.numpy() / deviation).astype(np.float32)
        shift = (bias.numpy() - mean * scale).astype(np.float32)
        _in_chunks(scale_values, _pixels(total), scale, shift, floor, _pixels(out))
        context.save_for_backward(total)
        context.numbers = scale, shift, floor, mean, deviation, of_images + n_pixels * near
        context.is_sum = added is not None, feature is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(context: Any, slope: torch.Tensor) -> tuple[Any, ...]:
        (total,) = context.saved_tensors
        scale, shift, floor, mean, deviation, of_images = context.numbers
        maps = _pixels(total)
        slopes = _pixels(slope.to(total.dtype).contiguous(memory_format=torch.channels_last))
        n_images, n_pixels, n_maps = maps.shape
        clip = scale, shift, floor
        sums, products = _of_chunks(sum_slopes, maps, slopes, *clip, mean.astype(np.float32))
        slopes_of_images = sums.reshape(n_images, -1, n_maps).sum(1, dtype=np.float64)
        of_bias = slopes_of_images.sum(0)
        of_weight = products.sum(0, dtype=np.float64) / deviation
        by_value = -scale * of_weight / deviation / (n_images * n_pixels)
        offset = -scale * of_bias / (n_images * n_pixels) - by_value * mean
        of_total = torch.empty_like(total)
        numbers = by_value.astype(np.float32), offset.astype(np.float32)
        _in_chunks(scale_slopes, maps, slopes, *clip, *numbers, _pixels(of_total))
        was_added, had_feature = context.is_sum
        of_feature = None
        if had_feature:
            summed = slopes_of_images * scale + of_images * by_value + n_pixels * offset
            of_feature = torch.from_numpy(summed.astype(np.float32))
        return (
            None,
            None,
            of_total,
            of_total if was_added else None,
            of_feature,
            torch.from_numpy(of_weight.astype(np.float32)),
            torch.from_numpy(of_bias.astype(np.float32)),
        )


@torch.no_grad()
def _bring_forward(
    norm: nn.BatchNorm2d, mean: NDArray[Any], variance: NDArray[Any], n_values: int
) -> None:
    """Update the running statistics as PyTorch does, with the unbiased variance."""
    if norm.running_mean is None or norm.running_var is None or norm.momentum is None:
        raise ValueError("expected a normalisation with running statistics and momentum")
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    unbiased = variance * (n_values / max(1, n_values - 1))
    norm.running_mean.lerp_(torch.from_numpy(mean.astype(np.float32)), norm.momentum)
    norm.running_var.lerp_(torch.from_numpy(unbiased.astype(np.float32)), norm.momentum)


def _of_chunks(work: Pass, maps: Maps, *others: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Run a pass that writes two sums for each chunk, and give them."""
    shape = len(maps) * n_chunks(maps.shape[1]), maps.shape[2]
    sums = np.empty(shape, np.float32), np.empty(shape, np.float32)
    _in_chunks(work, maps, *others, *sums)
    return sums


def _in_chunks(work: Pass, maps: Maps, *others: Any) -> None:
    """Run a pass over all chunks, in parallel."""
    n_all = len(maps) * n_chunks(maps.shape[1])
    # No more threads than PyTorch's own layers would use.
    least = max(1, LEAST_VALUES * n_all // maps.size, -(-n_all // torch.get_num_threads()))
    run_shares(
        lambda chunks: work(maps, *others, chunks.start, chunks.stop), split_evenly(n_all, least)
    )


def _middle_of(maps: torch.Tensor) -> NDArray[np.float32]:
    """Give the values of the middle pixel, as a rough mean of each map."""
    values: NDArray[np.float32] = (
        maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].detach().float().numpy()
    )
    return values


def _pixels(maps: torch.Tensor) -> Maps:
    """Give (N, C, H, W) bfloat16 in channels-last as its bits in memory, (N, H W, C) uint16."""
    n_images, n_maps, height, width = maps.shape
    rows = maps.detach().permute(0, 2, 3, 1).view(n_images, height * width, n_maps)
    bits: Maps = rows.view(torch.int16).numpy().view(np.uint16)
    return bits
