"""16 bits are kept only where they say the same as float32."""

import numpy as np
import pytest
import torch

from cellflow.inference.plan import settle_precision
from cellflow.inference.precision_gate import least_correlation, richest_tile
from cellflow.network import precision

BIAS = 300.0
"""Steps of bfloat16 at this size are 2: far larger than what a random network says."""


@pytest.fixture
def native_bfloat16(monkeypatch):
    """Every device says that it computes bfloat16; a processor without it emulates it."""
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: True)


@pytest.fixture
def native_float16(monkeypatch):
    """Every device says that it is quickest in float16, as a T4 does."""
    monkeypatch.setattr(precision, "quickest_dtype", lambda device: torch.float16)


@pytest.fixture
def image(rng):
    return rng.random((90, 80), np.float32)


def loud(network):
    """Make the outputs large, as those of a trained network are."""
    network.output[2].weight.data *= 100


def drowned(network):
    """Add to the outputs a constant in which bfloat16 loses them."""
    network.output[2].bias.data += BIAS


def test_bfloat16_stays_where_it_correlates(native_bfloat16, tiny_model, image):
    model = tiny_model(change=loud, precision="auto")
    assert not model.is_settled
    assert model.settle_precision(image) == []
    assert model.is_settled
    assert model.dtypes == ("torch.bfloat16",)


def test_a_network_that_bfloat16_would_spoil_runs_in_float32(native_bfloat16, tiny_model, image):
    model = tiny_model(change=drowned, precision="auto")
    expected = tiny_model(change=drowned, precision="float32").flow_field(image)
    (said,) = model.settle_precision(image)
    assert "float32 (its correlation with bfloat16 is 0." in said
    assert model.dtypes == ("torch.float32",)
    np.testing.assert_array_equal(model.flow_field(image).flows, expected.flows)


def out_of_range(network):
    """Let the outputs exceed what float16 can hold."""
    network.output[2].weight.data *= 1e6


def test_float16_stays_unless_its_range_is_too_small(native_float16, tiny_model, image):
    model = tiny_model(change=loud, precision="auto")
    assert model.settle_precision(image) == []
    assert model.dtypes == ("torch.float16",)
    model = tiny_model(change=out_of_range, precision="auto")
    (said,) = model.settle_precision(image)
    assert "float32 (its correlation with float16 is 0." in said
    assert model.predict(image).labels.shape == image.shape


def test_an_image_whose_output_float16_cannot_hold_is_computed_in_float32(tiny_model, image):
    expected = tiny_model(change=out_of_range, precision="float32").flow_field(image)
    found = tiny_model(change=out_of_range, precision="float16").flow_field(image)
    for name in ("flows", "cellprob", "style"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_what_was_compiled_in_bfloat16_goes_with_it(native_bfloat16, tiny_model, image):
    model = tiny_model(change=drowned, precision="auto")
    expected = tiny_model(change=drowned, precision="float32").flow_field(image)
    runner = model.members[0].runner
    runner._compiled = runner._plain
    model.predict(image)
    np.testing.assert_array_equal(model.flow_field(image).flows, expected.flows)


def test_an_image_too_large_for_memory_leaves_it_to_the_next(
    native_bfloat16, tiny_model, image, tmp_path, monkeypatch
):
    import tifffile

    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    tifffile.imwrite(paths[0], np.pad(image, 8))
    tifffile.imwrite(paths[1], image)
    model = tiny_model(change=drowned, precision="auto")
    runner = model.members[0].runner
    forward, calls = runner._plain, []

    def full_at_first(batch):
        calls.append(len(batch))
        if len(calls) == 1:
            raise torch.OutOfMemoryError
        return forward(batch)

    monkeypatch.setattr(runner, "_plain", full_at_first)
    before = runner.batch_size
    settle_precision(model, paths)
    assert model.dtypes == ("torch.float32",)
    assert runner.batch_size == before


def test_the_first_image_decides_when_nothing_did_before(native_bfloat16, tiny_model, image):
    model = tiny_model(change=drowned, precision="auto")
    model.predict(image)
    assert model.dtypes == ("torch.float32",)
    assert model.settle_precision(image) == []


def test_what_is_asked_for_by_name_is_not_questioned(native_bfloat16, tiny_model, image):
    model = tiny_model(change=drowned, precision="bfloat16")
    assert model.is_settled
    model.predict(image)
    assert model.dtypes == ("torch.bfloat16",)


def test_each_network_of_several_is_judged_by_itself(native_bfloat16, tiny_model, image):
    good, bad = (
        tiny_model(change=change, precision="auto", name=change.__name__)
        for change in (loud, drowned)
    )
    model = type(good).joined([good, bad])
    assert len(model.settle_precision(image)) == 1
    assert model.dtypes == ("torch.bfloat16", "torch.float32")


@pytest.mark.parametrize("first", ["broken", "blank"])
def test_an_image_that_cannot_be_read_or_shows_nothing_leaves_it_to_the_next(
    native_bfloat16, tiny_model, image, tmp_path, first
):
    import tifffile

    broken, whole = tmp_path / "a.tif", tmp_path / "b.tif"
    broken.write_bytes(b"II*")
    if first == "blank":
        tifffile.imwrite(broken, np.zeros_like(image))
    tifffile.imwrite(whole, image)
    model, said = tiny_model(change=drowned, precision="auto"), []
    settle_precision(model, [broken], said.append)
    assert not model.is_settled
    settle_precision(model, [broken, whole], said.append)
    assert model.is_settled
    assert len(said) == 1


def test_a_constant_or_broken_output_correlates_with_nothing():
    wave = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).repeat(1, 3, 1, 1)

    def says(output):
        return lambda tile: (output, torch.zeros(1, 256))

    assert least_correlation(says(wave), says(2 * wave + 1), wave) == pytest.approx(1.0)
    flat, broken = wave.clone(), wave.clone()
    flat[:, 1] = 0.5
    broken[0, 2, 0, 0] = float("nan")
    for other in (flat, broken):
        assert least_correlation(says(wave), says(other), wave) == 0.0


def test_the_tile_that_decides_shows_something():
    tiles = torch.zeros(4, 2, 8, 8)
    tiles[2, 0, :4] = 1.0
    assert torch.equal(richest_tile(tiles), tiles[2:3])
