"""Two processes that train together over gloo; see `test_ranks.py`.

``python paired_runs.py DATA FOLDER`` does what the test compares, each in a pair of children.
"""

import json
import os
import signal
import socket
import sys
import time
from itertools import count
from pathlib import Path

import torch
import torch.distributed as dist
from mortal_runs import config_of
from torch.nn import BatchNorm2d

from cellflow.atomic import write_json
from cellflow.config import DataConfig, NetworkConfig, TrainingConfig
from cellflow.data.entrance import open_dataset
from cellflow.network.cpnet import build_network
from cellflow.training.batches import CropSource
from cellflow.training.budget import Pace, Plan
from cellflow.training.checkpoint import Position
from cellflow.training.fine_tune import fine_tune
from cellflow.training.interruption import REQUEUE_EXIT_CODE, Preempted
from cellflow.training.loop import Run, train
from cellflow.training.optimizer import make_optimizer
from cellflow.training.ranks import Ranks, joined_ranks

loop = sys.modules["cellflow.training.loop"]
LONGEST = 240
"""Seconds after which a pair that waits for each other is ended."""


def in_pair(work, *arguments, port=None):
    """Do the work in two children that know of each other; give their exit codes."""
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            signal.alarm(LONGEST)
            os.environ.update(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
            )  # fmt: skip
            try:
                work(*arguments)
            except Preempted:
                os._exit(REQUEUE_EXIT_CODE)
            os._exit(0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def train_without_statistics(data, target, ranks):
    """Train a network whose batch normalisation stays as it is; write its weights and losses."""
    config = TrainingConfig(
        n_epochs=3, batch_size=4, crop_size=32, optimizer="sgd", gradient_clip=1.0, ema_decay=0.9
    )
    network = build_network(NetworkConfig(channels_per_level=(4, 8)), torch.Generator())
    for module in network.modules():
        if isinstance(module, BatchNorm2d):
            module.eval().train = lambda mode=True: None
    entries = open_dataset(data).annotated
    source = CropSource(
        entries=entries, rescales=[1.0] * len(entries), data=DataConfig(), training=config,
        rank=ranks.rank, n_ranks=ranks.size,
    )  # fmt: skip
    wanted, losses = Plan(n_epochs=3, validate_every=9), []
    run = Run(
        network=network, optimizer=make_optimizer(network, config), source=source, config=config,
        position=Position(n_epochs=3, validate_every=9), ranks=ranks,
        pace=Pace(wanted, source.steps_per_epoch), device=torch.device("cpu"),
    )  # fmt: skip
    train(run, after_step=lambda: None, end_epoch=lambda rate: losses.append(run.losses.tolist()))
    if ranks.is_first:
        torch.save({"weights": network.state_dict(), "losses": losses}, target)


def train_as_one_of_two(data, target):
    with joined_ranks("cpu") as (ranks, _):
        train_without_statistics(data, target, ranks)


def in_pair_of_torchrun(work):
    """The same where the processes' store outlasts them, as that of `torchrun`."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    codes = in_pair(work, port=store.port)
    del os.environ["TORCHELASTIC_USE_AGENT_STORE"]
    return codes


def meet_again():
    """Train together three times, as stages do; each time another one is the last to come."""
    for turn in range(3):
        with joined_ranks("cpu") as (ranks, _):
            assert ranks.gather(turn) == [turn, turn]
            time.sleep(0.5 * (ranks.rank == turn % 2))


def tune(data, out, stop_at=None):
    """Train by the front door; at some step the second process gets a scheduler's signal."""
    is_second, steps, told = os.environ["RANK"] == "1", count(1), []
    take_step = loop.training_step

    def step_and_stop(run, batch):
        if next(steps) == stop_at and is_second:
            os.kill(os.getpid(), signal.SIGUSR1)
        return take_step(run, batch)

    loop.training_step = step_and_stop
    fine_tune(data, out, config_of(), init="scratch", device="cpu", say=told.append)
    if is_second:
        assert told == []
    else:
        write_json(out.with_suffix(".said.json"), told)


if __name__ == "__main__":
    data, folder = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    train_without_statistics(data, folder / "one.pt", Ranks())
    codes = {
        "pair": in_pair(train_as_one_of_two, data, folder / "two.pt"),
        "whole": in_pair(tune, data, folder / "whole"),
        "cut": in_pair(tune, data, folder / "cut", 7),
        "continued": in_pair(tune, data, folder / "cut"),
        "again": in_pair(meet_again),
        "again by torchrun": in_pair_of_torchrun(meet_again),
    }
    sys.stdout.write(json.dumps(codes))
