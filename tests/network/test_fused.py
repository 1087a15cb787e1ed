"""The fused network is Cellpose's: same outputs, same style, in either precision."""

import copy

import pytest
import torch
from used_network import used_network

from cellflow.inference import compilation
from cellflow.inference.compilation import plain_forward
from cellflow.network import fused
from cellflow.network.cpnet import silence_style
from cellflow.network.fused import FusedNetwork, can_fuse
from cellflow.network.upsampling import delay_upsampling

CPU = torch.device("cpu")
float32 = pytest.mark.skipif(not can_fuse(CPU, torch.float32), reason="no oneDNN of x86")
bfloat16 = pytest.mark.skipif(not can_fuse(CPU, torch.bfloat16), reason="no oneDNN with AVX-512")
CHANNELS = {"two levels": (4, 8), "four levels": (4, 8, 16, 24)}


def a_network(channels=(4, 8, 16), seed=0):
    return used_network(channels, torch.Generator().manual_seed(seed))


def some_images(*shape, seed=1):
    images = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return images.contiguous(memory_format=torch.channels_last)


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@float32
@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
@pytest.mark.parametrize("size", [(32, 32), (40, 56), (8, 104)])
def test_outputs_and_styles_are_those_of_cellposes_layers(channels, size):
    network, images = a_network(channels), some_images(3, 2, *size)
    with torch.inference_mode():
        expected = network(images)[:2]
    for found, wanted in zip(FusedNetwork(network, torch.float32)(images), expected, strict=True):
        assert found.dtype is torch.float32
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@bfloat16
def test_bfloat16_is_no_further_from_float32_than_layer_by_layer(monkeypatch):
    network, images = a_network((8, 16, 32)), some_images(2, 2, 64, 64)
    exact = FusedNetwork(network, torch.float32)(images)
    fused = FusedNetwork(network, torch.bfloat16)(images)
    monkeypatch.setattr(compilation, "can_fuse", lambda *_: False)
    layers = plain_forward(network, CPU, torch.bfloat16)(images)
    for found, other, wanted in zip(fused, layers, exact, strict=True):
        assert 0 < relative_error(found, wanted) <= 1.1 * relative_error(other, wanted)
        assert relative_error(found, wanted) < 0.02


@float32
def test_each_image_has_its_own_style():
    network, images = a_network(), some_images(2, 2, 32, 32)
    together = FusedNetwork(network, torch.float32)(images)
    for number in range(2):
        alone = FusedNetwork(network, torch.float32)(images[number : number + 1])
        for found, wanted in zip(together, alone, strict=True):
            assert torch.equal(found[number : number + 1], wanted)
    assert relative_error(together[1][:1], together[1][1:]) > 0.01


@float32
def test_a_network_without_style_and_one_that_doubles_late_are_the_same_too():
    network, images = a_network((4, 8, 16, 24)), some_images(1, 2, 32, 48)
    silence_style(network)
    with torch.inference_mode():
        expected = network(images)[0]
    for one in (network, delay_upsampling(copy.deepcopy(network), CPU)):
        torch.testing.assert_close(
            FusedNetwork(one, torch.float32)(images)[0], expected, rtol=1e-4, atol=1e-5
        )


@float32
def test_the_weights_are_a_copy_and_the_network_stays_as_it_is():
    network, images = a_network(), some_images(1, 2, 32, 32)
    before = copy.deepcopy(network.state_dict())
    fused = FusedNetwork(network, torch.float32)
    expected = fused(images)[0]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
        tensor.zero_()
    assert torch.equal(fused(images)[0], expected)


@pytest.mark.parametrize(
    "dtype",
    [pytest.param(torch.float32, marks=float32), pytest.param(torch.bfloat16, marks=bfloat16)],
)
def test_where_nothing_is_fused_the_layers_give_the_same(monkeypatch, dtype):
    network, images = a_network(), some_images(2, 2, 32, 32)
    fused = plain_forward(network, CPU, dtype)
    assert isinstance(fused, FusedNetwork)
    monkeypatch.setattr(compilation, "can_fuse", lambda *_: False)
    layers = plain_forward(network, CPU, dtype)
    limit = 1e-5 if dtype is torch.float32 else 0.02
    for found, wanted in zip(fused(images), layers(images), strict=True):
        assert relative_error(found, wanted) < limit


@pytest.mark.parametrize(
    ("machine", "device", "expected"),
    [
        ("x86_64", "cpu", True),
        ("AMD64", "cpu", True),
        ("arm64", "cpu", False),
        ("x86_64", "cuda", False),
    ],
)
def test_only_a_cpu_of_x86_fuses(monkeypatch, machine, device, expected):
    monkeypatch.setattr(fused.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert can_fuse(torch.device(device), torch.float32) is expected


def test_an_older_torch_keeps_the_layers(monkeypatch):
    monkeypatch.setattr(fused.torch, "__version__", torch.torch_version.TorchVersion("2.12.1+cpu"))
    assert not can_fuse(CPU, torch.float32)


def test_bfloat16_is_computed_layer_by_layer_where_onednn_has_it_not(monkeypatch):
    monkeypatch.setattr(fused.torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    network, images = a_network(), some_images(1, 2, 32, 32)
    assert not can_fuse(CPU, torch.bfloat16)
    found = plain_forward(network, CPU, torch.bfloat16)(images)[0]
    assert relative_error(found, plain_forward(network, CPU, torch.float32)(images)[0]) < 0.02
