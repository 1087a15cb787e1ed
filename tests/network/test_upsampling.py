"""A decoder that doubles its input later gives the same outputs and gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from cellflow.config import NetworkConfig
from cellflow.network.cpnet import build_network
from cellflow.network.precision import autocast
from cellflow.network.upsampling import DoublingConvolution, delay_upsampling, doubling_kernel

CPU = torch.device("cpu")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def a_pair(channels=(4, 8, 16)):
    """The same network in double precision, as it is and with its doubling delayed."""
    plain = build_network(NetworkConfig(channels_per_level=channels), torch.Generator()).double()
    return plain, delay_upsampling(copy.deepcopy(plain), CPU)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 2), (16, 16)])
def test_the_transposed_convolution_is_the_convolution_of_the_copies(size):
    image, weight, bias = normal(3, 4, *size), normal(5, 4, 3, 3, seed=1), normal(5, seed=2)
    copies = functional.interpolate(image, scale_factor=2, mode="nearest")
    expected = functional.conv2d(copies, weight, bias, padding=1)
    kernel = doubling_kernel(weight)
    assert kernel.shape == (4, 5, 4, 4)
    found = functional.conv_transpose2d(image, kernel, bias, stride=2, padding=1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("is_training", [False, True])
def test_the_whole_network_gives_the_same_outputs_and_gradients(is_training):
    plain, delayed = (network.train(is_training) for network in a_pair())
    image, wanted = normal(3, 2, 32, 24), normal(3, 3, 32, 24, seed=1)
    for network in (plain, delayed):
        output, style = network(image.contiguous(memory_format=torch.channels_last))[:2]
        ((output - wanted).square().mean() + style.square().sum()).backward()
        network.seen = output.detach()
    torch.testing.assert_close(delayed.seen, plain.seen)
    expected = dict(plain.named_parameters())
    for name, parameter in delayed.named_parameters():
        if (wanted := expected[name].grad) is not None:
            torch.testing.assert_close(parameter.grad, wanted)


def test_running_averages_differ_by_as_much_as_is_said():
    plain, delayed = (network.train() for network in a_pair((4, 8)))
    for network in (plain, delayed):
        network(normal(2, 2, 16, 16))
    n_pixels, momentum = 2 * 8 * 8, 0.05
    expected = plain.state_dict()
    for name, found in delayed.state_dict().items():
        if name.startswith("upsample.up.res_up_0") and name.endswith("0.running_var"):
            is_before = ".conv_0." in name or ".proj." in name
            share = 3 / (4 * n_pixels) if is_before else 0
            # Of the first batch's variance alone, which counts the momentum beside the start of 1.
            of_batch = (found - (1 - momentum)) / (expected[name] - (1 - momentum))
            torch.testing.assert_close(
                of_batch - 1, torch.full_like(found, share), rtol=0.05, atol=1e-6
            )
        else:
            torch.testing.assert_close(found, expected[name])


def test_weights_keep_their_names_and_copies_their_kind():
    plain, delayed = a_pair((4, 8, 16, 32))
    assert list(delayed.state_dict()) == list(plain.state_dict())
    kinds = [type(module) for module in copy.deepcopy(delayed).modules()]
    assert kinds.count(DoublingConvolution) == 3


def test_doing_it_twice_changes_nothing_more():
    plain, delayed = a_pair((4, 8, 16))
    images = normal(2, 2, 32, 48)
    expected = plain.eval()(images)[0]
    twice = delay_upsampling(delayed.eval(), CPU)
    torch.testing.assert_close(twice(images)[0], expected)


def test_autocast_takes_the_transposed_convolution_too():
    convolution = nn.Conv2d(4, 5, 3, padding=1)
    convolution.__class__ = DoublingConvolution
    with autocast(CPU, torch.bfloat16):
        assert convolution(torch.rand(1, 4, 6, 6)).dtype is torch.bfloat16


def test_a_network_of_another_device_stays_as_it_is():
    network = build_network(NetworkConfig(channels_per_level=(4, 8)), torch.Generator())
    delay_upsampling(network, torch.device("cuda"))
    assert not any(isinstance(module, DoublingConvolution) for module in network.modules())
    assert isinstance(network.upsample.upsampling, nn.Upsample)
