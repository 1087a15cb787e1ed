"""The loop: it learns, it is deterministic, it survives little memory and Ctrl-C."""

import math
import time

import numpy as np
import pytest
import torch

from cellflow.config import DataConfig, NetworkConfig, TrainingConfig
from cellflow.errors import ModelError
from cellflow.network.cpnet import build_network
from cellflow.training import loop
from cellflow.training.batches import CropSource
from cellflow.training.budget import N_TIMED_STEPS, N_WARMUP_STEPS, Pace, Plan
from cellflow.training.checkpoint import Position
from cellflow.training.interruption import StepFinished
from cellflow.training.loop import Run, train, training_step
from cellflow.training.optimizer import AveragedWeights, make_optimizer
from cellflow.training.schedule import learning_rates


class Losses:
    """Collects the mean loss of every epoch."""

    def __init__(self, run):
        self.run, self.values = run, []

    def __call__(self, rate):
        position = self.run.position
        self.values.append((position.flow_loss + position.cell_loss) / position.step)


def make_run(entries, *, max_seconds=None, dtype=torch.float32, channels=(4, 8), **training):
    chosen = {"n_epochs": 2, "batch_size": 4, "crop_size": 32, "warmup_epochs": 0, **training}
    config = TrainingConfig(**chosen)
    torch.manual_seed(99)  # must not matter
    network = build_network(
        NetworkConfig(channels_per_level=channels, diam_mean=12.0),
        torch.Generator().manual_seed(config.seed),
    )
    source = CropSource(
        entries=entries, rescales=[1.0] * len(entries), data=DataConfig(), training=config
    )
    wanted = Plan(n_epochs=config.n_epochs, validate_every=1000)
    return Run(
        network=network,
        optimizer=make_optimizer(network, config),
        source=source,
        config=config,
        position=Position(n_epochs=config.n_epochs, validate_every=1000),
        pace=Pace(wanted, source.steps_per_epoch, max_seconds),
        device=torch.device("cpu"),
        dtype=dtype,
        average=AveragedWeights(network, config.ema_decay) if config.ema_decay else None,
    )


def train_and_watch(run, after_step=lambda: None):
    losses = Losses(run)
    train(run, after_step=after_step, end_epoch=losses)
    return losses.values


def weights_of(run):
    return {name: tensor.clone() for name, tensor in run.network.state_dict().items()}


def same_weights(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_on_one_small_image_falls_to_a_third_within_seconds(disc_entries):
    run = make_run(disc_entries(1), n_epochs=100, learning_rate=0.02, channels=(8, 16))
    losses = train_and_watch(run)
    assert np.mean(losses[-5:]) < np.mean(losses[:2]) / 3


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "radam"])
def test_equal_seeds_give_equal_weights_and_others_do_not(disc_entries, optimizer):
    entries = disc_entries(2)
    runs = [make_run(entries, optimizer=optimizer, seed=seed) for seed in (1, 1, 2)]
    losses = [train_and_watch(run) for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert same_weights(weights_of(runs[0]), weights_of(runs[1]))
    assert not same_weights(weights_of(runs[0]), weights_of(runs[2]))


def test_every_step_runs_at_the_rate_of_its_number(disc_entries):
    run = make_run(disc_entries(3), images_per_epoch=12, schedule="one_cycle", n_epochs=2)
    told = []
    run.report = lambda step, numbers: told.append(numbers["lr"])
    train_and_watch(run)
    np.testing.assert_array_equal(told, learning_rates(run.config, 2, 3, np.arange(6)))


def test_a_long_gradient_is_shortened_to_the_norm_that_is_asked_for(disc_entries):
    entries, gradients = disc_entries(2), []
    for clip in (None, 0.01):
        run = make_run(entries, gradient_clip=clip)
        run.position.n_parts = 2  # the sum over the parts is clipped, not each part
        run.optimizer.step = lambda: None
        training_step(run, run.source.batch(0))
        own = [p.grad.flatten() for p in run.network.parameters() if p.grad is not None]
        gradients.append(torch.cat(own))
    whole, clipped = gradients
    assert float(clipped.norm()) == pytest.approx(0.01, rel=1e-3)
    torch.testing.assert_close(clipped, whole * (0.01 / whole.norm()), rtol=1e-3, atol=1e-8)


def test_the_loss_of_flows_weighs_what_is_asked_for(disc_entries):
    entries, gradients = disc_entries(2), []
    for weight in (1.0, 3.0, 5.0):
        run = make_run(entries, flow_weight=weight)
        run.optimizer.step = lambda: None
        losses = training_step(run, run.source.batch(0))
        gradients.append(run.network.output[2].bias.grad.clone())
    one, three, five = gradients
    torch.testing.assert_close(three - one, five - three, rtol=1e-4, atol=1e-7)
    assert (three - one)[:2].abs().min() > 0
    assert one[2] == three[2] == five[2]  # the bias of the cell probability
    assert (losses > 0).all()


def test_the_average_follows_the_weights_after_every_step(disc_entries):
    run = make_run(disc_entries(1), n_epochs=4, ema_decay=0.5)
    seen = []
    train_and_watch(run, after_step=lambda: seen.append(weights_of(run)["output.2.weight"]))
    expected, decays = seen[0], [2 / 11, 3 / 12, 4 / 13]
    for decay, latest in zip(decays, seen[1:], strict=True):
        expected = decay * expected + (1 - decay) * latest
    torch.testing.assert_close(run.average.module.output[2].weight, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bits_train_too(disc_entries, dtype):
    run = make_run(disc_entries(1), dtype=dtype, n_epochs=40, learning_rate=0.02, channels=(8, 16))
    losses = train_and_watch(run)
    assert np.mean(losses[-5:]) < np.mean(losses[:2]) / 1.5
    assert all(p.dtype == torch.float32 for p in run.network.parameters())


def trained(run):
    return [(name, p) for name, p in run.network.named_parameters() if p.grad is not None]


@pytest.mark.parametrize("clip", [None, 0.01])
def test_in_float16_a_small_gradient_is_that_of_float32(disc_entries, clip):
    """Unscaled, those of the first layers would be 0 here."""
    entries, gradients = disc_entries(2), []
    for dtype in (torch.float32, torch.float16):
        run = make_run(entries, dtype=dtype, gradient_clip=clip)
        run.network.output[2].weight.data *= 1e-5
        run.optimizer = torch.optim.SGD(run.network.parameters(), lr=0.0, fused=True)
        training_step(run, run.source.batch(0))
        gradients.append({name: p.grad for name, p in trained(run)})
    exact, rounded = (
        torch.cat([grad.flatten() for name, grad in found.items() if name.startswith("downsample")])
        for found in gradients
    )
    assert (exact - rounded).norm() < 0.1 * exact.norm()
    if clip is not None:
        whole = torch.cat([grad.flatten() for grad in gradients[1].values()])
        assert float(whole.norm()) == pytest.approx(clip, rel=1e-2)


def scale_by(run, scale):
    run.scaler.load_state_dict({**run.scaler.state_dict(), "scale": scale})


@pytest.fixture
def undefined_memory_shows(monkeypatch):
    """PyTorch fills memory that nobody has written yet with NaN."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "radam"])
def test_in_float16_a_step_beyond_its_range_is_left_out(
    disc_entries, undefined_memory_shows, optimizer
):
    run = make_run(disc_entries(1), dtype=torch.float16, optimizer=optimizer, learning_rate=1e-3)
    scale_by(run, 2.0**40)
    before = {name: p.clone() for name, p in run.network.named_parameters()}
    losses = training_step(run, run.source.batch(0))
    assert losses.isfinite().all()
    assert all(torch.equal(p, before[name]) for name, p in run.network.named_parameters())
    assert run.scaler.get_scale() == 2.0**39
    scale_by(run, 2.0**10)
    training_step(run, run.source.batch(1))
    change = torch.cat([(p - before[name]).flatten() for name, p in trained(run)])
    assert 1e-5 < change.abs().max() < 1e-2


@pytest.mark.parametrize("clip", [None, 1.0])
def test_memory_that_runs_out_in_the_middle_of_a_step_leaves_the_scale_as_it_was(
    disc_entries, clip
):
    entries, runs = disc_entries(1), []
    for is_full in (False, True):
        run = make_run(entries, dtype=torch.float16, gradient_clip=clip, optimizer="sgd")
        run.network.eval()  # batch statistics differ between the parts
        scale_by(run, 2.0**10)
        if is_full:
            run.optimizer.register_step_pre_hook(full_at_first())
        else:
            run.position.n_parts = 2
        training_step(run, run.source.batch(0))
        assert run.position.n_parts == 2
        assert run.scaler.get_scale() == 2.0**10
        runs.append(run)
    assert same_weights(*map(weights_of, runs))


def full_at_first():
    left = [True]

    def hook(*_):
        if left.pop() if left else False:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    return hook


def test_a_training_of_which_no_step_fits_into_float16_stops_with_a_reason(disc_entries):
    run = make_run(disc_entries(1), dtype=torch.float16, n_epochs=3)
    run.network.output[2].weight.register_hook(lambda gradient: gradient * math.inf)
    scale_by(run, 4.0)
    with pytest.raises(ModelError, match="epoch 3: no step is taken, since gradients exceed"):
        train_and_watch(run)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_convolutions_are_tuned_on_cuda_within_what_the_process_allows(monkeypatch, kind):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "deterministic", True)
    monkeypatch.setattr(cudnn, "allow_tf32", False)
    with loop._tuned_convolutions(torch.device(kind)):
        assert cudnn.benchmark == (kind == "cuda")
        assert (cudnn.deterministic, cudnn.allow_tf32) == (True, False)
    assert not cudnn.benchmark


def test_images_without_cells_teach_silence(disc_entries):
    run = make_run(disc_entries(2, n_cells=0), n_epochs=40, learning_rate=0.02)
    losses = train_and_watch(run)
    assert losses[-1] < losses[0] / 2


def test_the_position_counts_epochs_and_steps(disc_entries):
    run = make_run(disc_entries(3), images_per_epoch=12, n_epochs=2)
    seen = []
    train_and_watch(run, after_step=lambda: seen.append((run.position.epoch, run.position.step)))
    assert seen == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert (run.position.epoch, run.position.step) == (2, 0)


def test_progress_is_told_after_every_step(disc_entries):
    run = make_run(disc_entries(1), n_epochs=3)
    told = []
    run.report = lambda step, numbers: told.append((step, numbers["total"], numbers["epoch"]))
    train_and_watch(run)
    assert told == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]


def test_under_a_budget_no_end_is_told_before_it_is_planned(disc_entries):
    run = make_run(disc_entries(1), n_epochs=9, max_seconds=1e12)
    told = []
    run.report = lambda step, numbers: told.append(numbers.get("total"))
    train_and_watch(run)
    assert told == [None] * (N_WARMUP_STEPS + N_TIMED_STEPS) + [9, 9, 9]


def test_the_loop_counts_its_images_and_how_long_it_waits_for_them(disc_entries):
    run = make_run(disc_entries(1), images_per_epoch=8, n_epochs=1)
    source, make = run.source, run.source.batch
    source.batch = lambda step: (time.sleep(0.3), make(step))[1]
    told = []
    run.report = lambda step, numbers: told.append(numbers)
    train_and_watch(run)
    seen = run.throughput
    assert seen.n_images == 8
    assert 0.3 < seen.waiting < seen.seconds
    assert told[-1]["images/s"] > 0
    assert 0 < told[-1]["waiting"] <= 1


def test_waiting_for_the_device_is_a_part_of_the_step(disc_entries, monkeypatch):
    run = make_run(disc_entries(1), n_epochs=1, images_per_epoch=8, max_seconds=1e12)
    now, waits = [0.0], []
    run.clock = lambda: now[0]
    read = loop._read_loss

    def wait(device):
        waits.append(device)
        now[0] += 1.0

    def read_later(run, before):
        now[0] += 10.0
        read(run, before)

    monkeypatch.setattr(loop, "synchronize", wait)
    monkeypatch.setattr(loop, "_read_loss", read_later)
    train_and_watch(run)
    assert len(waits) == 2
    assert run.pace.step_seconds == 11
    assert run.throughput.seconds == run.position.seconds == 22


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_missing_compiler_is_one_sentence(disc_entries, monkeypatch, is_wrapped):
    from torch._dynamo.exc import TorchDynamoException

    def no_compiler(image):
        text = "no C++ compiler\n\nSet TORCHDYNAMO_VERBOSE=1 for …"
        error = TorchDynamoException("backend='inductor' raised:" if is_wrapped else text)
        if is_wrapped:
            error.inner_exception = RuntimeError(text)
        raise error

    monkeypatch.setattr(torch, "compile", lambda network: no_compiler)
    run = make_run(disc_entries(1), n_epochs=1, compile=True)
    with pytest.raises(ModelError, match=r"compile does not work here: no C\+\+ compiler$"):
        train_and_watch(run)


def test_too_little_memory_for_compiling_is_not_taken_for_a_missing_compiler(
    disc_entries, monkeypatch
):
    from torch._dynamo.exc import TorchDynamoException

    def full(image):
        raise TorchDynamoException("OutOfMemoryError: CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(torch, "compile", lambda network: full)
    run = make_run(disc_entries(1), n_epochs=1, batch_size=4, compile=True)
    with pytest.raises(ModelError, match="not enough memory for one crop"):
        train_and_watch(run)
    assert run.position.n_parts == 4


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(disc_entries):
    entries = disc_entries(2)
    losses = [train_and_watch(make_run(entries, n_epochs=3, compile=on)) for on in (False, True)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


class TooMuch(torch.nn.Module):
    """A network on a device that holds only so many crops."""

    def __init__(self, network, most):
        super().__init__()
        self.network, self.most = network, most

    def forward(self, x):
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(x)


def test_when_memory_runs_out_the_batch_goes_through_in_parts_and_it_is_said(disc_entries):
    run = make_run(disc_entries(1), batch_size=8, n_epochs=1)
    run.network = TooMuch(run.network, 3)
    said = []
    run.say = said.append
    train_and_watch(run)
    assert run.position.n_parts == 4
    assert said[-1] == ("out of memory: each batch of 8 now goes through the network 2 at a time")


def test_parts_give_the_gradient_of_the_whole_batch(disc_entries):
    entries = disc_entries(2)
    gradients = []
    for n_parts in (1, 2):
        run = make_run(entries)
        run.network.eval()  # batch statistics differ between the parts
        run.position.n_parts = n_parts
        run.optimizer.step = lambda: None
        losses = training_step(run, run.source.batch(0))
        gradients.append((losses, run.network.output[2].weight.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_too_little_memory_for_one_crop_is_one_clear_line(disc_entries):
    run = make_run(disc_entries(1))
    run.network = TooMuch(run.network, 0)
    with pytest.raises(ModelError, match="not enough memory for one crop of 32 px"):
        train_and_watch(run)


def test_what_cudas_libraries_said_stands_behind_the_lack_of_memory(disc_entries):
    """They say the same of a cuDNN that does not fit this torch."""

    class Broken(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("GET was unable to find an engine to execute this computation")

    run = make_run(disc_entries(1))
    run.network = Broken()
    with pytest.raises(ModelError, match=r"--device cpu \(GET was unable to find an engine"):
        train_and_watch(run)


def test_other_runtime_errors_are_not_taken_for_lack_of_memory(disc_entries):
    run = make_run(disc_entries(1))
    run.network = torch.nn.Conv2d(5, 3, 1)
    with pytest.raises(RuntimeError, match="channels"):
        train_and_watch(run)


def test_a_loss_that_is_not_finite_stops_with_a_reason(disc_entries):
    run = make_run(disc_entries(1))
    with torch.no_grad():
        run.network.output[2].weight.fill_(math.nan)
    with pytest.raises(ModelError, match=r"epoch 1: the loss is no longer finite.*0\.005\) and"):
        train_and_watch(run)


def test_in_float16_the_range_may_be_why_a_loss_is_not_finite(disc_entries):
    run = make_run(disc_entries(1), dtype=torch.float16)
    with torch.no_grad():
        run.network.output[2].weight.fill_(1e6)
    with pytest.raises(ModelError, match=r"lower the learning rate .* or train in float32 and"):
        train_and_watch(run)


def test_ctrl_c_is_obeyed_after_the_step(disc_entries):
    run = make_run(disc_entries(3), images_per_epoch=12)

    def press():
        if run.position.step == 2:
            run.interrupt.ask("Ctrl-C")

    with pytest.raises(StepFinished):
        train_and_watch(run, after_step=press)
    assert (run.position.epoch, run.position.step) == (0, 3)


def test_the_time_budget_ends_a_run_in_the_middle_of_an_epoch(disc_entries):
    run = make_run(disc_entries(3), images_per_epoch=40, n_epochs=50, max_seconds=20.0)
    run.clock = iter(range(1000)).__next__
    losses = train_and_watch(run)
    assert run.position.epoch == run.position.n_epochs == len(losses) == 1
    assert run.position.seconds < 25
