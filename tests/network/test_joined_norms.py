"""Normalisation in few passes gives what PyTorch's layers give, forwards and backwards."""

import copy

import numba
import numpy as np
import pytest
import torch
from torch import nn

from cellflow.config import NetworkConfig
from cellflow.network import joined_norms
from cellflow.network.cpnet import build_network
from cellflow.network.joined_norms import join_norms, normalize
from cellflow.network.norm_kernels import CHUNK, narrow, scale_values, sum_values, widen
from cellflow.network.precision import autocast
from cellflow.network.quick_training import quicken_training
from cellflow.network.upsampling import delay_upsampling

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def maps_of_any_size(monkeypatch):
    """Have small maps go through the kernels, too."""
    monkeypatch.setattr(joined_norms, "FEWEST_VALUES", 0)


SHAPES = [(1, 3, 1, 2), (2, 5, 7, 3), (3, 32, 16, 16), (2, 8, 65, 64)]
"""The last has chunks that are not whole."""


def normal(*shape, seed=0, scale=1.0, mean=0.0):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    maps = (scale * values + mean).bfloat16()
    return maps.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else maps


def a_norm(n_maps):
    norm = nn.BatchNorm2d(n_maps, momentum=0.05)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(n_maps, generator=generator))
        norm.bias.copy_(torch.randn(n_maps, generator=generator))
    return norm.train()


def with_gradients(norm, call, slope, *tensors):
    """Give the output and the gradients of inputs and weights, all float64."""
    inputs = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    output = call(norm, *inputs)
    output.backward(slope.to(output.dtype))
    gradients = [one.grad for one in (*inputs, norm.weight, norm.bias)]
    return [one.double() for one in (output.detach(), *gradients)]


def assert_alike(found, expected):
    """Numbers differ by the rounding of bfloat16 (2⁻⁹), measured by the largest of them."""
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 0.01 * other.abs().max() + 1e-3


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_output_and_gradients_are_those_of_the_layers(shape, clip):
    def layers(norm, x):
        return norm(x).relu() if clip else norm(x)

    norm, x, slope = a_norm(shape[1]), normal(*shape, mean=3.0), normal(*shape, seed=1)
    exact = copy.deepcopy(norm).double()
    found = with_gradients(norm, lambda norm, x: normalize(norm, x, clip=clip), slope, x)
    assert_alike(found, with_gradients(exact, layers, slope, x.double()))
    assert_alike(
        [norm.running_mean.double(), norm.running_var.double()],
        [exact.running_mean, exact.running_var],
    )
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize("is_added", [False, True])
def test_two_maps_and_a_feature_are_added_before(is_added):
    def layers(norm, x, feature, added=None):
        total = x + feature[:, :, None, None]
        total = total if added is None else total + added
        # Kept in bfloat16, which decides of a few values whether they are clipped.
        return norm(total + (total.bfloat16().double() - total).detach()).relu()

    def joined(norm, x, feature, added=None):
        return normalize(norm, x, added, feature, clip=True)

    norm, slope = a_norm(6), normal(3, 6, 50, 50, seed=1)
    inputs = [normal(3, 6, 50, 50), normal(3, 6, seed=2, scale=4.0)]
    inputs += [normal(3, 6, 50, 50, seed=3)] if is_added else []
    exact = copy.deepcopy(norm).double()
    found = with_gradients(norm, joined, slope, *inputs)
    assert_alike(found, with_gradients(exact, layers, slope, *(one.double() for one in inputs)))


def test_the_variance_of_values_far_from_zero_is_not_lost():
    norm = a_norm(4).train()
    x = normal(2, 4, 40, 40, mean=200.0, scale=20.0)
    normalize(norm, x, clip=False)
    exact = 0.95 + 0.05 * x.double().var((0, 2, 3))
    torch.testing.assert_close(norm.running_var.double(), exact, rtol=1e-5, atol=0)


def test_a_sum_far_from_its_first_map_loses_no_variance_either():
    norm, x, feature = a_norm(4), normal(2, 4, 40, 40), normal(2, 4, scale=0.0, mean=256.0)
    normalize(norm, x, None, feature, clip=False)
    total = (x.float() + 256).bfloat16().double()
    exact = 0.95 + 0.05 * total.var((0, 2, 3))
    torch.testing.assert_close(norm.running_var.double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("x", "added", "feature", "message"),
    [
        ((2, 3, 8, 8), (1, 3, 8, 8), (2, 3), "two maps of"),
        ((2, 3, 8, 8), (2, 3, 8, 8), None, "and a feature"),
        ((2, 3, 8, 8), None, (1, 3), "a feature for each"),
        ((1, 3, 1, 1), None, None, "more than one value"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(x, added, feature, message):
    given = (normal(*size) if size else None for size in (x, added, feature))
    with pytest.raises(ValueError, match=message):
        normalize(a_norm(3), *given, clip=True)


def test_small_maps_go_through_the_layers(monkeypatch):
    monkeypatch.setattr(joined_norms, "FEWEST_VALUES", 1000)
    for n_maps, is_joined in ((3, False), (5, True)):
        x = normal(2, n_maps, 10, 10)
        made = normalize(a_norm(n_maps), x.requires_grad_(), clip=True).grad_fn.name()
        assert ("_Normalize" in made) == is_joined
        total = normal(2, n_maps), x
        norm, exact = a_norm(n_maps), a_norm(n_maps).double()
        found = normalize(norm, x, x, total[0], clip=True)
        expected = exact((x + x).double() + total[0].double()[:, :, None, None]).relu()
        assert_alike([found.double()], [expected])


def test_nan_comes_out_where_it_went_in():
    x = normal(2, 3, 8, 8)
    x[1, 2, 3, 4] = torch.nan
    found = normalize(a_norm(3), x, clip=True)
    assert found[:, 2].isnan().all()
    assert not found[:, :2].isnan().any()


def test_the_number_of_threads_changes_nothing():
    x, slope = normal(4, 64, 70, 64), normal(4, 64, 70, 64, seed=1)
    n_threads, results = numba.get_num_threads(), []
    for n in {1, n_threads}:
        numba.set_num_threads(n)
        try:
            norm = a_norm(64)
            results.append(with_gradients(norm, lambda n, x: normalize(n, x, clip=True), slope, x))
        finally:
            numba.set_num_threads(n_threads)
    for one, other in zip(results[0], results[-1], strict=True):
        assert torch.equal(one, other)


@pytest.mark.needs_jit
def test_passes_over_parts_make_up_the_whole(rng):
    maps = rng.integers(0, 2**15, (2, CHUNK + 5, 3)).astype(np.uint16)
    maps[maps >= 0x7F80] = 0  # infinity and NaN
    maps = np.minimum(maps, 0x4200)
    whole, parts = np.empty_like(maps), np.empty_like(maps)
    scale, shift = np.float32([1, -2, 0.5]), np.float32([0, 1, -1])
    scale_values(maps, scale, shift, np.float32(0), whole, 0, 4)
    for first, last in ((0, 1), (1, 3), (3, 4)):
        scale_values(maps, scale, shift, np.float32(0), parts, first, last)
    assert (whole == parts).all()
    sums = np.full((2, 4, 3), np.nan, np.float32)
    sum_values(maps, None, None, None, np.zeros(3, np.float32), *sums, 0, 4)
    values = torch.from_numpy(maps.view(np.int16)).view(torch.bfloat16).double().numpy()
    expected = [values[:, :CHUNK].sum(1), values[:, CHUNK:].sum(1)]
    np.testing.assert_allclose(sums[0], np.stack(expected, 1).reshape(4, 3), rtol=1e-5)


def test_bfloat16_is_rounded_as_pytorch_does(rng):
    bits = rng.integers(0, 2**32, 5000, np.uint32)
    ties = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x8000)
    values = np.concatenate([bits, ties]).view(np.float32)
    values = values[np.isfinite(values)]
    expected = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert [narrow(value) for value in values] == expected.tolist()
    again = [widen(one) for one in expected]
    assert again == torch.from_numpy(values).bfloat16().float().tolist()
    nan = np.array([0x7FC00000, 0xFFC00000, 0x7FFF0000, 0xFFFF0000], np.uint32).view(np.float32)
    assert all(np.isnan(widen(narrow(value))) for value in nan)


def a_pair(channels=(4, 8, 16)):
    plain = build_network(NetworkConfig(channels_per_level=channels), torch.Generator())
    delay_upsampling(plain, CPU)
    joined = copy.deepcopy(plain)
    join_norms(joined, CPU, torch.bfloat16)
    return plain.train(), joined.train()


def step_of(network, dtype):
    image, wanted = normal(3, 2, 32, 24).float(), normal(3, 3, 32, 24, seed=1).float()
    with autocast(CPU, dtype):
        output, style = network(image.contiguous(memory_format=torch.channels_last))[:2]
    ((output.float() - wanted).square().mean() + style.float().square().sum()).backward()
    return output.detach().float()


def test_the_whole_network_is_as_near_to_the_exact_one_as_before():
    plain, joined = a_pair()
    exact = copy.deepcopy(plain)
    output = step_of(exact, torch.float32)
    before, now = ((step_of(one, torch.bfloat16) - output).norm() for one in (plain, joined))
    assert now < 1.2 * before < 0.1 * output.norm()
    slopes = {name: one.grad for name, one in exact.named_parameters() if one.grad is not None}

    def distance(network):
        found = dict(network.named_parameters())
        return sum((found[name].grad - slope).square().sum() for name, slope in slopes.items())

    assert distance(joined) < 1.5 * distance(plain)


def test_weights_keep_their_names_and_copies_their_kind():
    plain, joined = a_pair()
    assert list(joined.state_dict()) == list(plain.state_dict())
    kinds = [type(module) for module in joined.modules()]
    assert [type(module) for module in copy.deepcopy(joined).modules()] == kinds


def test_in_evaluation_nothing_changes():
    plain, joined = a_pair()
    image = normal(1, 2, 16, 16).float()
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad(), autocast(CPU, dtype):
            assert torch.equal(joined.eval()(image)[0], plain.eval()(image)[0])


@pytest.mark.parametrize(
    ("device", "dtype", "is_compiled", "is_joined"),
    [
        ("cpu", torch.bfloat16, False, True),
        ("cpu", torch.bfloat16, True, False),
        ("cpu", torch.float32, False, False),
        ("cuda", torch.bfloat16, False, False),
    ],
)
def test_joined_where_it_pays(device, dtype, is_compiled, is_joined):
    network = build_network(NetworkConfig(channels_per_level=(2, 4)), torch.Generator())
    quicken_training(network, torch.device(device), dtype, is_compiled=is_compiled)
    assert (type(network.output) is not nn.Sequential) == is_joined
