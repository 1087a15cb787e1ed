"""Checkpoints: exact, whole or absent, and never of another run."""

import errno

import pytest
import torch

from cellflow.config import TrainingConfig
from cellflow.errors import DataError, ModelError
from cellflow.training import checkpoint
from cellflow.training.checkpoint import Position, load_checkpoint, save_checkpoint
from cellflow.training.optimizer import AveragedWeights, make_optimizer


def a_network(seed=0):
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 2, 4, 4)).square().sum().backward()
    optimizer.step()
    return network, optimizer


POSITION = Position(
    n_epochs=9, validate_every=3, epoch=4, step=2, flow_loss=0.1, cell_loss=1 / 3, n_parts=2,
    seconds=12.5, best_score=0.25, best_epoch=3,
)  # fmt: skip


def test_what_is_saved_comes_back_exactly(tmp_path):
    network, optimizer = a_network()
    save_checkpoint(tmp_path / "run" / "last.pt", network, optimizer, POSITION, "key")
    other, other_optimizer = a_network(seed=5)
    found = load_checkpoint(
        tmp_path / "run" / "last.pt", other, other_optimizer, "key", kind=Position
    )
    assert found == POSITION
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    moments = [state["exp_avg"] for state in optimizer.state.values()]
    others = [state["exp_avg"] for state in other_optimizer.state.values()]
    assert all(torch.equal(a, b) for a, b in zip(moments, others, strict=True))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "radam"])
def test_training_goes_on_bit_by_bit_with_every_optimiser_and_the_average(tmp_path, name):
    def start(seed):
        network, _ = a_network(seed)
        optimizer = make_optimizer(network, TrainingConfig(optimizer=name))
        return network, optimizer, AveragedWeights(network, 0.9)

    def go_on(network, optimizer, average):
        for k in range(3):
            optimizer.zero_grad()
            network(torch.full((2, 2, 4, 4), 1.0 + k)).square().sum().backward()
            optimizer.step()
            average.update_parameters(network)

    one, other = start(seed=0), start(seed=5)
    go_on(*one)
    save_checkpoint(tmp_path / "last.pt", one[0], one[1], POSITION, "key", one[2])
    go_on(*one)
    load_checkpoint(tmp_path / "last.pt", other[0], other[1], "key", other[2], kind=Position)
    go_on(*other)
    for first, second in ((one[0], other[0]), (one[2], other[2])):
        tensors = second.state_dict()
        assert all(torch.equal(value, tensors[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize(("before", "after"), [(True, True), (True, False), (False, True)])
def test_the_scale_of_the_loss_comes_back_where_it_is_used(tmp_path, before, after):
    """A run may go on with another precision than before, on another device."""
    network, optimizer = a_network()
    one, other = (torch.amp.GradScaler("cpu", enabled=on) for on in (before, after))
    one.load_state_dict({**one.state_dict(), "scale": 8.0, "_growth_tracker": 3})
    save_checkpoint(tmp_path / "last.pt", network, optimizer, POSITION, "key", scaler=one)
    load_checkpoint(tmp_path / "last.pt", network, optimizer, "key", scaler=other, kind=Position)
    if before and after:
        assert other.state_dict() == one.state_dict()
    else:
        assert other.get_scale() == (2.0**16 if after else 1.0)


def test_the_optimiser_goes_on_with_the_kernels_of_its_own_device(tmp_path):
    network, _ = a_network()
    on_a_gpu = torch.optim.AdamW(network.parameters(), fused=True)
    save_checkpoint(tmp_path / "last.pt", network, on_a_gpu, POSITION, "key")
    for fused in (None, True):
        optimizer = torch.optim.AdamW(network.parameters(), fused=fused)
        load_checkpoint(tmp_path / "last.pt", network, optimizer, "key", kind=Position)
        assert optimizer.param_groups[0]["fused"] is fused


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "radam"])
def test_a_run_goes_on_alike_where_weights_lie_otherwise_in_memory(tmp_path, name):
    """On Apple's GPUs they lie in PyTorch's own layout, elsewhere channels last."""

    def start(layout):
        torch.manual_seed(0)
        network = torch.nn.Conv2d(3, 4, 3).to(memory_format=layout)
        return network, make_optimizer(network, TrainingConfig(optimizer=name))

    def step(network, optimizer, number):
        generator = torch.Generator().manual_seed(number)
        for weight in network.parameters():
            weight.grad = torch.empty_like(weight)
            weight.grad.copy_(torch.randn(weight.shape, generator=generator))
        optimizer.step()

    first, optimizer = start(torch.contiguous_format)
    step(first, optimizer, 1)
    save_checkpoint(tmp_path / "last.pt", first, optimizer, POSITION, "key")
    step(first, optimizer, 2)
    second, optimizer = start(torch.channels_last)
    load_checkpoint(tmp_path / "last.pt", second, optimizer, "key", kind=Position)
    step(second, optimizer, 2)
    torch.testing.assert_close(second.weight, first.weight)


def test_another_run_is_refused_with_a_reason(tmp_path):
    network, optimizer = a_network()
    save_checkpoint(tmp_path / "last.pt", network, optimizer, POSITION, "key")
    with pytest.raises(ModelError, match="other images, truth, folds or settings"):
        load_checkpoint(tmp_path / "last.pt", network, optimizer, "another key", kind=Position)


@pytest.mark.parametrize("n_bytes", [0, 100, -100])
def test_a_cut_off_checkpoint_is_refused(tmp_path, n_bytes):
    network, optimizer = a_network()
    path = tmp_path / "last.pt"
    save_checkpoint(path, network, optimizer, POSITION, "key")
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        load_checkpoint(path, network, optimizer, "key", kind=Position)


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    network, optimizer = a_network()
    with pytest.raises(ModelError, match="no checkpoint to continue from"):
        load_checkpoint(tmp_path / "none.pt", network, optimizer, "key", kind=Position)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="not a checkpoint of this version"):
        load_checkpoint(tmp_path / "list.pt", network, optimizer, "key", kind=Position)


def test_when_writing_fails_the_old_checkpoint_stays(tmp_path, monkeypatch):
    network, optimizer = a_network()
    path = tmp_path / "last.pt"
    save_checkpoint(path, network, optimizer, POSITION, "key")
    before = path.read_bytes()

    def fill_the_disk(content, target):
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_tensors", fill_the_disk)
    with pytest.raises(DataError, match=r"cannot write .*last\.pt: .*No space left"):
        save_checkpoint(path, network, optimizer, POSITION, "key")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
