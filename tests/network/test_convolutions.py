"""Gradients by matrix products are those of PyTorch, whatever the size, layout and threads."""

import copy

import pytest
import torch
from torch import nn

from cellflow.config import NetworkConfig
from cellflow.network import convolutions
from cellflow.network.convolutions import QuickConvolution, quicken_gradients, weight_gradient
from cellflow.network.cpnet import build_network

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _threads_as_before():
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def true_gradient(image, slope):
    weight = torch.zeros(slope.shape[1], image.shape[1], 3, 3, dtype=image.dtype)
    weight.requires_grad_()
    nn.functional.conv2d(image, weight, padding=1).backward(slope)
    return weight.grad


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (16, 16), (9, 20)])
def test_the_weight_gradient_is_exact_for_any_size_layout_and_band(
    size, layout, n_threads, monkeypatch
):
    image = normal(5, 4, *size).contiguous(memory_format=layout)
    slope = normal(5, 6, *size, seed=1).contiguous(memory_format=layout)
    expected = true_gradient(image, slope)
    torch.set_num_threads(n_threads)
    for n_rows in (1, 2, 5, 100):
        monkeypatch.setattr(convolutions, "BAND_VALUES", n_rows * 3 * 4 * size[1])
        torch.testing.assert_close(weight_gradient(image, slope), expected)


def test_the_whole_network_gives_the_same_outputs_and_gradients(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    plain = build_network(NetworkConfig(channels_per_level=(16, 32)), torch.Generator()).train()
    quick = copy.deepcopy(plain)
    quicken_gradients(quick, CPU, torch.float32)
    kinds = [type(module) for module in quick.modules()]
    assert kinds.count(QuickConvolution) == 19
    assert kinds.count(nn.Conv2d) == 2  # those that see the picture itself
    plain, quick = plain.double(), quick.double()
    image, wanted = normal(3, 2, 32, 24), normal(3, 3, 32, 24, seed=1)
    for network in (plain, quick):
        output, style = network(image.contiguous(memory_format=torch.channels_last))[:2]
        ((output - wanted).square().mean() + style.square().sum()).backward()
        network.seen = output.detach()
    torch.testing.assert_close(quick.seen, plain.seen)
    expected = dict(plain.named_parameters())
    for name, parameter in quick.named_parameters():
        if (wanted := expected[name].grad) is not None:
            torch.testing.assert_close(parameter.grad, wanted)
    assert quick.state_dict().keys() == plain.state_dict().keys()
    assert type(copy.deepcopy(quick).output[2]) is QuickConvolution


@pytest.mark.parametrize(
    ("capability", "device", "dtype"),
    [
        ("AVX512", "cpu", torch.float32),
        ("AVX2", "cuda", torch.float32),
        ("AVX2", "cpu", torch.bfloat16),
    ],
)
def test_where_it_does_not_pay_the_network_is_left_alone(monkeypatch, capability, device, dtype):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    network = build_network(NetworkConfig(channels_per_level=(16, 32)), torch.Generator())
    quicken_gradients(network, torch.device(device), dtype)
    assert not any(isinstance(module, QuickConvolution) for module in network.modules())


def test_other_convolutions_are_left_alone(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    others = nn.Sequential(
        nn.Conv2d(16, 16, 3),
        nn.Conv2d(16, 16, 3, padding=1, stride=2),
        nn.Conv2d(16, 16, 3, padding=1, groups=2),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 16, 5, padding=2),
        nn.Conv2d(16, 16, (3, 1), padding=(1, 0)),
        nn.Conv2d(8, 16, 3, padding=1),
    )
    quicken_gradients(others, CPU, torch.float32)
    assert all(type(layer) is nn.Conv2d for layer in others)
