"""Two processes over gloo train as one does, stop together, and continue bit by bit."""

import json
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import paired_runs
import pytest
import torch
from compared_runs import metrics_of, same_weights
from drawn_discs import write_disc_folder
from mortal_runs import config_of

from cellflow.config import TrainingConfig
from cellflow.data.entrance import open_dataset
from cellflow.errors import ConfigError, ModelError
from cellflow.inference.predict import load_model
from cellflow.jsontext import to_json
from cellflow.network.devices import choose_device
from cellflow.training.batches import CropSource
from cellflow.training.fine_tune import fine_tune
from cellflow.training.interruption import StepFinished
from cellflow.training.ranks import Ranks, joined_ranks
from cellflow.training.validation import Validator

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="forks its pairs")


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    return write_disc_folder(tmp_path_factory.mktemp("discs") / "data", 14)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, discs):
    """The folder in which `paired_runs` did its work, and the exit codes."""
    folder = tmp_path_factory.mktemp("pairs")
    done = subprocess.run(
        [sys.executable, paired_runs.__file__, discs, folder],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return folder, json.loads(done.stdout)


@needs_fork
def test_two_processes_at_half_the_batch_equal_one_but_for_batch_statistics(pairs):
    folder, codes = pairs
    assert codes["pair"] == [0, 0]
    one, two = (torch.load(folder / f"{name}.pt") for name in ("one", "two"))
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=1e-6)
    for name, tensor in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], tensor, rtol=1e-4, atol=1e-6)


@needs_fork
def test_a_signal_to_one_stops_both_and_they_continue_bit_by_bit(pairs):
    folder, codes = pairs
    assert (codes["whole"], codes["cut"], codes["continued"]) == ([0, 0], [75, 75], [0, 0])
    assert same_weights(folder / "whole", folder / "cut")
    assert metrics_of(folder / "whole") == metrics_of(folder / "cut")
    said = json.loads((folder / "whole.said.json").read_text(encoding="utf-8"))
    assert any("2 processes, the first on cpu" in line for line in said)


@needs_fork
def test_they_meet_again_for_every_stage(pairs):
    _, codes = pairs
    assert (codes["again"], codes["again by torchrun"]) == ([0, 0], [0, 0])


@needs_fork
def test_the_validation_that_they_share_is_that_of_one(pairs, discs):
    folder, _ = pairs
    record = json.loads((folder / "whole" / "config.json").read_text(encoding="utf-8"))
    model = load_model(folder / "whole", device="cpu")
    dataset = open_dataset(discs)
    held_out = [e for e in dataset.annotated if e.name in record["data"]["validation"]]
    config, device = config_of(), torch.device("cpu")
    score = Validator(held_out, config, record["diameter"], device).score(model.network)
    assert record["score"] == json.loads(to_json(score.to_dict()))
    assert record["run"]["n_processes"] == 2


def test_the_shares_of_a_batch_are_the_batch(disc_entries):
    def source(rank, n_ranks):
        return CropSource(
            entries=disc_entries(3), rescales=[1.0] * 3, training=TrainingConfig(crop_size=32),
            data=config_of().data, rank=rank, n_ranks=n_ranks,
        )  # fmt: skip

    whole, shares = source(0, 1).batch(5), [source(rank, 4).batch(5) for rank in range(4)]
    for name in whole._fields:
        parts = [getattr(share, name) for share in shares]
        assert torch.equal(torch.cat(parts), getattr(whole, name)), name


def test_a_batch_that_cannot_be_shared_is_refused(discs, tmp_path, monkeypatch):
    class Three(Ranks):
        """One of three that are not there."""

        def in_first(self, work):
            return work()

    @contextmanager
    def join(device):
        yield Three(size=3), choose_device("cpu")

    monkeypatch.setattr(sys.modules["cellflow.training.fine_tune"], "joined_ranks", join)
    with pytest.raises(ConfigError, match="2 crops cannot be shared evenly by 3 processes"):
        fine_tune(discs, tmp_path / "run", config_of(), init="scratch")
    assert not (tmp_path / "run").exists()


def test_processes_that_would_compute_in_unlike_types_are_refused(discs, tmp_path, monkeypatch):
    class Two(Ranks):
        """One of two, of which the other has a T4."""

        def in_first(self, work):
            return work()

        def gather(self, value):
            return [value, torch.float16]

    @contextmanager
    def join(device):
        yield Two(size=2), choose_device("cpu")

    monkeypatch.setattr(sys.modules["cellflow.training.fine_tune"], "joined_ranks", join)
    config = config_of()
    config = replace(config, training=replace(config.training, precision="bfloat16"))
    with pytest.raises(ConfigError, match="auto is bfloat16 and float16 on the unlike devices"):
        fine_tune(discs, tmp_path / "run", config, init="scratch")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_several_processes_do_not_share_a_named_device(monkeypatch, device):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="several processes would share it"), joined_ranks(device):
        pass


@pytest.mark.parametrize(
    ("error", "takes_leave"),
    [(None, True), (StepFinished("Ctrl-C"), True), (ModelError("one GPU is full"), False)],
)
def test_a_process_that_fails_alone_does_not_wait_for_the_others(monkeypatch, error, takes_leave):
    monkeypatch.setenv("WORLD_SIZE", "2")
    left, ranks = [], sys.modules["cellflow.training.ranks"]
    monkeypatch.setattr(ranks, "_init_group", lambda backend: None)
    for name, stand_in in {
        "get_rank": lambda: 1, "new_group": lambda **_: None,
        "destroy_process_group": lambda: left.append(True),
    }.items():  # fmt: skip
        monkeypatch.setattr(ranks.dist, name, stand_in)
    with nullcontext() if error is None else pytest.raises(type(error)), joined_ranks("cpu"):
        if error is not None:
            raise error
    assert left == [True] * takes_leave


def test_processes_of_which_one_failed_train_no_more(monkeypatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    with (
        pytest.raises(ConfigError, match="a training failed in these processes; restart them"),
        joined_ranks("cpu"),
    ):
        pass
