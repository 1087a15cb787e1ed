"""Tiles through a network: batches, compiled shapes, and memory that runs out."""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from cellflow.config import InferenceConfig
from cellflow.errors import ConfigError, ImageError, ModelError
from cellflow.inference import compilation, tile_runner
from cellflow.inference.compilation import compiled_forward, plain_forward
from cellflow.inference.tile_runner import TileRunner
from cellflow.inference.tiles import plan_tiles

CPU = torch.device("cpu")


@pytest.fixture
def network(tiny_model):
    return tiny_model().network


def runner(network, **settings):
    return TileRunner(network, InferenceConfig(tile_size=64, precision="float32", **settings), CPU)


@pytest.fixture
def image(rng):
    return torch.from_numpy(rng.random((2, 150, 140), np.float32))


def replace_forward(monkeypatch, forward):
    """Let networks of runners made from now on compute `forward`."""
    monkeypatch.setattr(tile_runner, "plain_forward", lambda *_: forward)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_batch_changes_nothing(network, image, batch_size):
    expected, style = runner(network, batch_size=4).run(image)
    output, same_style = runner(network, batch_size=batch_size).run(image)
    assert torch.allclose(output, expected, atol=1e-5)
    assert torch.allclose(style, same_style, atol=1e-5)
    assert output.shape == (3, 150, 140)


def test_out_of_memory_halves_the_batch_for_good(network, image, monkeypatch):
    expected, _ = runner(network).run(image)
    forward, sizes = plain_forward(network, CPU, torch.float32), []

    def small_memory(batch):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return forward(batch)

    replace_forward(monkeypatch, small_memory)
    small = runner(network, batch_size=8)
    assert torch.allclose(small.run(image)[0], expected, atol=1e-5)
    assert sizes[:3] == [8, 4, 2]
    assert small.batch_size == 2
    sizes.clear()
    small.run(image)
    assert max(sizes) == 2


def test_memory_may_run_out_while_a_batch_is_timed(network, monkeypatch):
    def no_memory(batch):
        raise MemoryError

    grid = plan_tiles((150, 150), 64, 0.1)
    assert runner(network).seconds_per_tile(grid) > 0
    replace_forward(monkeypatch, no_memory)
    with pytest.raises(ModelError, match="does not fit into the memory"):
        runner(network).seconds_per_tile(grid)


def test_a_tile_that_never_fits_is_one_sentence(network, image, monkeypatch):
    def no_memory(batch):
        raise torch.OutOfMemoryError

    replace_forward(monkeypatch, no_memory)
    with pytest.raises(ImageError, match="a single tile of 64 px does not fit into the memory"):
        runner(network).run(image)


def test_an_image_beside_which_nothing_fits_slows_no_other_one(network, image, monkeypatch):
    forward = plain_forward(network, CPU, torch.float32)
    is_full = True

    def memory_of_the_moment(batch):
        if is_full:
            raise torch.OutOfMemoryError
        return forward(batch)

    expected, _ = runner(network).run(image)
    replace_forward(monkeypatch, memory_of_the_moment)
    one = runner(network, batch_size=8)
    with pytest.raises(ImageError):
        one.run(image)
    assert one.batch_size == 8
    is_full = False
    assert torch.allclose(one.run(image)[0], expected, atol=1e-5)


def test_tiles_that_are_done_again_count_once(network, image, monkeypatch):
    expected, expected_style = runner(network, batch_size=2).run(image)
    forward, n_calls = plain_forward(network, CPU, torch.float32), []

    def full_at_the_second_batch(batch):
        n_calls.append(len(batch))
        if len(n_calls) == 2:
            raise torch.OutOfMemoryError
        return forward(batch)

    replace_forward(monkeypatch, full_at_the_second_batch)
    output, style = runner(network, batch_size=4).run(image)
    assert n_calls[:3] == [4, 4, 2]
    assert torch.allclose(output, expected, atol=1e-5)
    assert torch.allclose(style, expected_style, atol=1e-5)


def test_an_image_that_memory_does_not_hold_at_all_halves_nothing(network, image, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError

    one = runner(network, batch_size=8)
    monkeypatch.setattr(tile_runner, "TileAverage", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        one.run(image)
    assert one.batch_size == 8


def test_another_error_is_not_taken_for_lack_of_memory(network, image, monkeypatch):
    def broken(batch):
        raise RuntimeError("expected scalar type Float")

    replace_forward(monkeypatch, broken)
    with pytest.raises(RuntimeError, match="scalar type"):
        runner(network).run(image)


def test_compiled_batches_have_few_sizes_and_small_images_stay_as_they_are(
    network, image, monkeypatch
):
    expected, expected_style = runner(network).run(image)
    sizes = []

    def pretend(kind, network, dtype, batches):
        sizes.extend(len(batch) for batch in batches)
        plain = plain_forward(network, CPU, dtype)

        def forward(batch):
            assert batch.shape[1:] == (2, 64, 64)
            assert batch.is_contiguous(memory_format=torch.channels_last)
            assert len(batch) in sizes
            used.append(len(batch))
            return plain(batch)

        return forward, "pretended"

    used = []
    monkeypatch.setattr(tile_runner, "compiled_forward", pretend)
    compiled = runner(network, compilation="inductor", batch_size=8)
    assert compiled.compile_network() == "pretended"
    assert sizes == [2, 4, 6, 8]
    assert compiled.compile_network() == ""  # Once is enough.
    output, style = compiled.run(image)
    assert torch.allclose(output, expected, atol=1e-5)
    assert torch.allclose(style, expected_style, atol=1e-5)
    n_tiles = len(compiled.plan((150, 140)).corners)
    assert used == [8] * (n_tiles // 8) + [next(n for n in sizes if n >= n_tiles % 8)]
    used.clear()
    small = image[:, :30, :40]
    assert torch.allclose(compiled.run(small)[0], runner(network).run(small)[0], atol=1e-5)
    assert used == []


def test_nothing_is_compiled_on_a_processor_unless_asked_for(network):
    assert runner(network).compile_network() == ""
    with pytest.raises(ConfigError, match="graphs needs a CUDA device, this is cpu"):
        runner(network, compilation="graphs")


def test_what_cannot_be_compiled_is_said_and_runs_as_it_is(network, image, monkeypatch):
    def no_compiler(*_, **__):
        raise RuntimeError("no C++ compiler\nin many lines")

    monkeypatch.setattr(compilation.torch, "compile", no_compiler)
    plain = runner(network, compilation="inductor")
    assert plain.compile_network() == "the network runs without inductor: no C++ compiler"
    assert torch.equal(plain.run(image)[0], runner(network).run(image)[0])


@pytest.mark.parametrize("wrong", [1.01, float("nan")])
def test_a_compiled_network_that_differs_is_not_used(network, monkeypatch, wrong):
    class Wrong(torch.nn.Module):
        def forward(self, batch):
            output, style, rest = network(batch)
            return output * wrong, style, rest

    monkeypatch.setattr(compilation.torch, "compile", lambda *_, **__: Wrong())
    forward, said = compiled_forward("inductor", network, torch.float32, [torch.rand(2, 2, 64, 64)])
    assert forward is None
    assert said.startswith("the network runs without inductor: its output differs by ")


@pytest.fixture
def pretended_cuda(monkeypatch):
    """Recordings without a GPU; like CUDA's, one on the stream of another device holds nothing."""

    class Stream:
        def __init__(self, device="the current one"):
            self.device = device

        def wait_stream(self, other):
            pass

    class Graph:
        def __init__(self):
            self.replay = lambda: None

    recordings, current = [], ["cuda:0"]

    @contextmanager
    def device(chosen):
        current.append(chosen)
        yield
        current.pop()

    def record(graph, *, pool, capture_error_mode, stream=None):
        stream = stream or Stream()
        assert current[-1] == stream.device  # else PyTorch waits for the other one too
        recordings.append(stream)
        return nullcontext()

    for name, stand_in in {
        "Stream": Stream, "CUDAGraph": Graph, "graph": record, "graph_pool_handle": object,
        "current_stream": Stream, "current_device": lambda: 0, "stream": nullcontext,
        "device": device,
    }.items():  # fmt: skip
        monkeypatch.setattr(compilation.torch.cuda, name, stand_in)
    return recordings


def test_a_recording_that_holds_nothing_is_not_used(network, pretended_cuda):
    batches = [torch.rand(size, 2, 64, 64) for size in (1, 2)]
    forward, said = compiled_forward("graphs", network, torch.float32, batches)
    assert forward is None
    assert said.startswith("the network runs without graphs: its output differs by ")


def test_recordings_are_made_on_one_stream_of_the_networks_device(network, pretended_cuda):
    batches = [torch.rand(size, 2, 64, 64) for size in (1, 2)]
    compiled_forward("graphs", network, torch.float32, batches)
    assert [stream.device for stream in pretended_cuda] == [CPU, CPU]
    assert pretended_cuda[0] is pretended_cuda[1]


def test_a_recording_that_fails_leaves_its_stream_and_device(pretended_cuda, monkeypatch):
    left = []
    monkeypatch.setattr(compilation.torch.cuda, "set_stream", lambda stream: left.append("stream"))
    monkeypatch.setattr(compilation.torch.cuda, "set_device", left.append)
    with compilation._stream_restored(CPU):
        pass
    assert left == []
    with pytest.raises(RuntimeError, match="capture"), compilation._stream_restored(CPU):
        raise RuntimeError("capture failed")
    assert left == ["stream", 0]


@pytest.mark.slow
def test_inductor_gives_the_same_on_a_processor(network, image):
    compiled = runner(network, compilation="inductor")
    assert compiled.compile_network().startswith("the network was compiled with inductor in ")
    assert torch.allclose(compiled.run(image)[0], runner(network).run(image)[0], atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["graphs", "inductor"])
def test_compiled_on_a_gpu_gives_the_same(tiny_model, image, kind):
    # The last one: where there are several it is not the current one.
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    settings = {"tile_size": 64, "precision": "float32"}
    plain = TileRunner(
        tiny_model().network, InferenceConfig(compilation="none", **settings), device
    )
    expected, _ = plain.run(image.to(device))
    compiled = TileRunner(
        tiny_model().network, InferenceConfig(compilation=kind, **settings), device
    )
    assert "was prepared" in compiled.compile_network()
    for _ in range(3):
        assert torch.allclose(compiled.run(image.to(device))[0], expected, atol=1e-3)
