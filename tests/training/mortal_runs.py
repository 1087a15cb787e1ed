"""Training runs in processes of their own that are killed by SIGKILL; see `test_killed.py`.

``python mortal_runs.py DATA WHOLE OUT SEED`` trains undisturbed in WHOLE, then in one child after
another in OUT. Each kills itself at some event: before it opens, renames or removes a file in OUT,
or with a file that it has written half. Prints how often that was, as JSON.
"""

import json
import os
import signal
import sys
from collections import Counter
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import torch

from cellflow.config import Config, InferenceConfig, NetworkConfig, TrainingConfig
from cellflow.network import cpnet
from cellflow.training import checkpointing
from cellflow.training.fine_tune import fine_tune

HALF = "half a file is written"
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", HALF)


def config_of(n_workers=0):
    return Config(
        network=NetworkConfig(channels_per_level=(4, 8), diam_mean=12.0),
        training=TrainingConfig(
            n_epochs=4, batch_size=2, crop_size=32, validate_every=2, learning_rate=0.01,
            keep="best", n_workers=n_workers,
        ),
        inference=InferenceConfig(tile_size=64, precision="float32"),
    )  # fmt: skip


def train(data, out, n_workers=0, **options):
    torch.set_num_threads(1)
    fine_tune(data, out, config_of(n_workers), init="scratch", device="cpu", **options)


def die_at_event(kind, number, out):
    """Arrange that this process is killed at the so-manieth event of that kind in `out`."""
    left = iter(range(number, -1, -1))

    def watch(event, arguments):
        if event == kind and str(arguments[0]).startswith(str(out)) and next(left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    save = torch.save

    def save_half_first(content, file):
        save(content, file)
        file.truncate(file.tell() // 2)
        sys.audit(HALF, str(out))
        file.seek(0)
        file.truncate()
        save(content, file)

    cpnet.torch.save = save_half_first
    sys.addaudithook(watch)


def train_until_done(data, out, seed):
    """Kill one child after the other; give the kinds of events at which they died."""
    rng, deaths = np.random.default_rng(seed), Counter()
    checkpointing.SECONDS_BETWEEN_CHECKPOINTS = 0.0  # at every step
    while True:
        # Later children live longer, so that there is an end.
        kind, number = str(rng.choice(EVENTS)), int(rng.integers(1 + 2 * deaths.total()))
        child = os.fork()
        if child == 0:
            die_at_event(kind, number, out)
            train(data, out)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status == 0:
            return deaths
        assert status == signal.SIGKILL
        deaths[kind] += 1


def train_and_die(data, out, at_step):
    """Train with a loader process; print its id and be killed at some step."""

    def report(step, numbers):
        if step == at_step:
            sys.stdout.write(json.dumps([child.pid for child in active_children()]))
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    train(data, out, n_workers=1, report=report)


if __name__ == "__main__":
    data, whole, out = map(Path, sys.argv[1:4])
    train(data, whole)
    sys.stdout.write(json.dumps(train_until_done(data, out, int(sys.argv[4]))))
