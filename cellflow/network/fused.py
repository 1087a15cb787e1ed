"""The network for prediction on a CPU, with as many operations as possible fused into convolutions.

Between its convolutions Cellpose's network normalises, clips at zero and adds, and each of these
reads and writes a whole feature map: half of a tile's time where the convolutions are quick
(bfloat16 with AMX). oneDNN can add and clip while it still has a convolution's result at hand. It
can normalise too if that is written as a 1×1 convolution of each feature map by itself.
"""

import copy
import platform
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.torch_version import TorchVersion

from cellflow.network.cpnet import CPnet, resdown, resup
from cellflow.network.norms import norm_before, norm_behind, slope_and_shift
from cellflow.network.side_by_side import side_by_side
from cellflow.network.upsampling import doubling_kernel

FIRST_TORCH = "2.13"
"""Oldest PyTorch with which layers are fused."""


def can_fuse(device: torch.device, dtype: torch.dtype) -> bool:
    """Tell whether oneDNN has its own kernels for convolutions of this type on a device.

    Notes
    -----
    They are for x86; on ARM oneDNN delegates convolutions, which was not measured. For bfloat16
    they need AVX-512; float16 was not tried. The functions are not public and were not tried with
    an older PyTorch.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    is_new = TorchVersion(torch.__version__) >= FIRST_TORCH
    if device.type != "cpu" or not (is_x86 and is_new and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
        return False
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype is torch.float32


class FusedNetwork:
    """A trained network for a CPU, its layers fused.

    Parameters
    ----------
    network : CPnet
        With Cellpose's own layers, or after `delay_upsampling`. Its weights are copied.
    dtype : torch.dtype
        Of the convolutions' inputs and outputs; they add up in float32.

    Notes
    -----
    At full resolution PyTorch's layers make 20 passes over a whole feature map besides the
    convolutions; here 9 are left. Each image of a batch is computed alone, by one thread: so its
    style vector can be added to the biases, and more of the feature maps stays in the caches.

    References
    ----------
    What is computed: ``CPnet.forward`` of ``cellpose/resnet_torch.py``, version 3.1.
    """

    def __init__(self, network: CPnet, dtype: torch.dtype) -> None:
        self.dtype = dtype
        first, *others = network.downsample.down
        norm = first.conv[0][0]
        mean, deviation = norm.running_mean.double(), (norm.running_var.double() + norm.eps).sqrt()
        # Grey levels vary less than their size: standardised they lose less to rounding.
        self._mean, self._deviation = (t.float()[:, None, None] for t in (mean, deviation))
        self._downs = [_Down(first, dtype, mean, deviation)]
        self._downs.extend(_Down(block, dtype) for block in others)
        *doubling, deepest = network.upsample.up
        self._ups = [_Up(block, dtype, is_doubling=True) for block in doubling]
        self._ups.append(_Up(deepest, dtype, is_doubling=False))
        norm, _, convolution = network.output
        self._norm = _pointwise(*slope_and_shift(norm), dtype)
        self._output = _layer(convolution.weight, convolution.bias, dtype)

    def __call__(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the (N, 3, H, W) outputs and the (N, S) styles of (N, 2, H, W), all float32."""
        outputs, styles = zip(*side_by_side(self._forward, torch.split(batch, 1)), strict=True)
        return torch.cat(outputs), torch.cat(styles)

    @torch.inference_mode()
    @torch.autocast("cpu", enabled=False)  # that of the caller, which its other threads lack
    def _forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (image - self._mean) / self._deviation
        x = x.to(self.dtype, memory_format=torch.channels_last)
        skips: list[torch.Tensor] = []
        for down in self._downs:
            x = down(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        style = functional.normalize(x.float().mean((2, 3)))
        for up, skip in zip(reversed(self._ups), reversed(skips), strict=True):
            x = up(x, skip, style)
        x = _convolve(x, self._norm, relu=True)
        return _convolve(x, self._output).float(), style


class _Down:
    """A level of the encoder, for an input x that stands for ``deviation x + mean``."""

    def __init__(
        self,
        block: resdown,
        dtype: torch.dtype,
        mean: torch.Tensor | float = 0.0,
        deviation: torch.Tensor | float = 1.0,
    ) -> None:
        def after_input(norm: Any) -> tuple[torch.Tensor, torch.Tensor]:
            slope, shift = slope_and_shift(norm)
            return slope * deviation, slope * mean + shift

        norms, convolutions = zip(*((layer[0], layer[2]) for layer in block.conv), strict=True)
        folds = [after_input(norms[0]), *(slope_and_shift(norm) for norm in norms[1:])]
        norm, projection = block.proj[:2]
        self.projection = _layer(*norm_before(projection, *after_input(norm)), dtype)
        self.first_norm, self.second_norm = (_pointwise(*folds[k], dtype) for k in (0, 2))
        self.first, self.third = (
            _layer(*norm_behind(convolutions[k], *folds[k + 1]), dtype) for k in (0, 2)
        )
        self.second, self.fourth = (
            _layer(convolutions[k].weight, convolutions[k].bias, dtype) for k in (1, 3)
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        y = _convolve(_convolve(x, self.first_norm, relu=True), self.first, relu=True)
        x = _convolve_onto(_convolve(x, self.projection), y, self.second)
        y = _convolve(_convolve(x, self.second_norm, relu=True), self.third, relu=True)
        return _convolve_onto(x, y, self.fourth)


class _Up:
    """A level of the decoder.

    Notes
    -----
    What the style vector adds to a feature map is constant over an image, and goes into the bias
    of the normalisation that follows: s (x + f) + t = s x + (s f + t).
    """

    def __init__(self, block: resup, dtype: torch.dtype, *, is_doubling: bool) -> None:
        self.is_doubling = is_doubling
        norm, projection = block.proj[:2]
        self.projection = _layer(*norm_before(projection, *slope_and_shift(norm)), dtype)
        (norm, _, first), *styled = block.conv
        self.first_norm = _pointwise(*slope_and_shift(norm), dtype)
        self.of_style = [copy.deepcopy(layer.full) for layer in styled]
        second, third, fourth = (layer.conv[2] for layer in styled)
        folds = [slope_and_shift(layer.conv[0]) for layer in styled]
        self.slopes = [slope.float() for slope, _ in folds]
        # s (first(x) + skip + f) + t: the slope goes into both, the shift to the skip alone.
        weight, bias = norm_behind(first, folds[0][0], torch.zeros_like(folds[0][1]))
        self.first = _layer(doubling_kernel(weight) if is_doubling else weight, bias, dtype)
        self.skip = _pointwise(*folds[0], dtype)
        self.second = _layer(second.weight, second.bias, dtype)
        self.middle = _pointwise(*folds[1], dtype)
        self.third = _layer(*norm_behind(third, *folds[2]), dtype)
        self.fourth = _layer(fourth.weight, fourth.bias, dtype)

    def __call__(self, x: torch.Tensor, skip: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        of_skip, of_middle, of_third = self._biases(style)
        y = self._first(_convolve(x, self.first_norm, relu=True))
        y = _convolve_onto(y, skip, self.skip, bias=of_skip, relu=True)
        x = _convolve(x, self.projection)
        if self.is_doubling:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = _convolve_onto(x, y, self.second)
        y = _convolve(x, self.middle, bias=of_middle, relu=True)
        y = _convolve(y, self.third, bias=of_third, relu=True)
        return _convolve_onto(x, y, self.fourth)

    def _first(self, x: torch.Tensor) -> torch.Tensor:
        if not self.is_doubling:
            return _convolve(x, self.first)
        bias = self.first.bias.to(x.dtype)
        return functional.conv_transpose2d(x, self.first.weight, bias, stride=2, padding=1)

    def _biases(self, style: torch.Tensor) -> list[torch.Tensor]:
        """Give the three layers' biases for an image of this style."""
        layers = (self.skip, self.middle, self.third)
        return [
            slope * full(style)[0] + layer.bias
            for slope, full, layer in zip(self.slopes, self.of_style, layers, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution that keeps the sides of an image.

    Parameters
    ----------
    weight : (K, C / groups, k, k) tensor
    bias : (K,) float32 tensor
    groups : int
    """

    weight: torch.Tensor
    bias: torch.Tensor
    groups: int = 1

    @property
    def geometry(self) -> tuple[list[int], list[int], list[int], int]:
        """Padding, stride, dilation and groups, as oneDNN's functions take them."""
        return [self.weight.shape[-1] // 2] * 2, [1, 1], [1, 1], self.groups


def _layer(weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> _Layer:
    weight = weight.detach().to(dtype, memory_format=torch.channels_last, copy=True)
    return _Layer(weight, bias.detach().float().clone())


def _pointwise(slope: torch.Tensor, shift: torch.Tensor, dtype: torch.dtype) -> _Layer:
    """Give ``slope x + shift`` as a convolution of each feature map by itself."""
    return _Layer(slope[:, None, None, None].to(dtype), shift.float(), groups=len(slope))


def _convolve(
    x: torch.Tensor, layer: _Layer, *, bias: torch.Tensor | None = None, relu: bool = False
) -> torch.Tensor:
    """Convolve, with `bias` instead of the layer's if given; with `relu` clip at zero."""
    bias = layer.bias if bias is None else bias
    then = "relu" if relu else "none"
    convolve = torch.ops.mkldnn._convolution_pointwise.default
    result: torch.Tensor = convolve(x, layer.weight, bias, *layer.geometry, then, [], "")
    return result


def _convolve_onto(
    total: torch.Tensor,
    x: torch.Tensor,
    layer: _Layer,
    *,
    bias: torch.Tensor | None = None,
    relu: bool = False,
) -> torch.Tensor:
    """Add the convolution of `x` to `total`, in place; with `relu` clip the sum at zero."""
    bias = (layer.bias if bias is None else bias).to(x.dtype)
    then = "relu" if relu else None
    convolve = torch.ops.mkldnn._convolution_pointwise_.binary
    convolve(total, x, layer.weight, bias, *layer.geometry, "add", 1.0, then, [], None)
    return total
