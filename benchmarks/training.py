"""A training step against Cellpose 3.1's own, on the same images.

    python benchmarks/training.py [n_rounds]

A step is everything that repeats: crops, network, loss, gradient, optimiser. Each side has a
process of its own, as a user would run it; rounds alternate between them, so that a busy machine
slows all; the medians' ratio is what counts.
"""

import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from cellpose.dynamics import labels_to_flows
from cellpose.resnet_torch import CPnet
from cellpose.train import _loss_fn_seg
from cellpose.transforms import random_rotate_and_resize
from measure import in_processes, markdown
from scenes import SCENES, draw_labels

from cellflow.config import DataConfig, NetworkConfig, TrainingConfig
from cellflow.data.dataset import Entry
from cellflow.data.images import write_png
from cellflow.data.rle import labels_to_masks
from cellflow.network.cpnet import build_network
from cellflow.training.batches import CropSource, prepare_entry, stream_batches
from cellflow.training.budget import Pace, Plan
from cellflow.training.checkpoint import Position
from cellflow.training.loop import Run, training_step
from cellflow.training.optimizer import make_optimizer

DIAMETER = {"cort": 17.0, "astro": 32.0, "shsy5y": 17.0}


def given(masks):
    return masks


def make_entries(folder):
    """Draw one image of each kind of scene, and its labels."""
    entries, labels = [], []
    for name in DIAMETER:
        drawn = draw_labels(SCENES[name])
        noise = np.random.default_rng(0).normal(0, 20, drawn.shape)
        image = (100 + 50 * (drawn > 0) + noise).clip(0, 255).astype(np.uint8)
        write_png(folder / f"{name}.png", image)
        truth = partial(given, labels_to_masks(drawn))
        entries.append(Entry(name=name, image_path=folder / f"{name}.png", read_masks=truth))
        labels.append(drawn)
    return entries, labels


class CellposeStep:
    """What ``cellpose.train.train_seg`` repeats, after its preparation."""

    def __init__(self, entries, labels, config):
        self.images = [prepare_entry(entry, DataConfig()) for entry in entries]
        self.images = [np.stack([p.image[0], 0 * p.image[0]]) for p in self.images]
        self.flows = [flow[1:] for flow in labels_to_flows(labels, device=torch.device("cpu"))]
        self.rescale = np.array(list(DIAMETER.values())) / 30.0
        self.config, self.step = config, 0
        self.network = CPnet([2, 32, 64, 128, 256], 3, 3).train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.005, weight_decay=1e-5)

    def __call__(self):
        chosen = np.arange(self.config.batch_size) % len(self.images)
        size = self.config.crop_size
        images, targets = random_rotate_and_resize(
            [self.images[k] for k in chosen],
            Y=[self.flows[k] for k in chosen],
            rescale=self.rescale[chosen],
            scale_range=0.5,
            xy=(size, size),
        )[:2]
        output = self.network(torch.from_numpy(images))[0]
        loss = _loss_fn_seg(targets, output, torch.device("cpu"))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


class CellflowStep:
    """What `cellflow.training.loop.train` repeats."""

    def __init__(self, entries, config, dtype):
        network = build_network(NetworkConfig(), torch.Generator().manual_seed(0)).train()
        rescales = [30.0 / diameter for diameter in DIAMETER.values()]
        source = CropSource(entries=entries, rescales=rescales, data=DataConfig(), training=config)
        self.run = Run(
            network=network,
            optimizer=make_optimizer(network, config),
            source=source,
            config=config,
            position=Position(n_epochs=1, validate_every=1),
            pace=Pace(Plan(n_epochs=1, validate_every=1), 1),
            device=torch.device("cpu"),
            dtype=dtype,
        )
        self.batches = stream_batches(source, 0)

    def __call__(self):
        return float(training_step(self.run, next(self.batches)).sum())


def batch_milliseconds(entries, config):
    """Give the median time to make a batch, without the network."""
    loader = CropSource(
        entries=entries, rescales=[1.8, 0.9, 1.8], data=DataConfig(), training=config
    )
    loader.batch(0)
    times = []
    for step in range(1, 6):
        before = time.perf_counter()
        loader.batch(step)
        times.append(time.perf_counter() - before)
    return 1e3 * float(np.median(times))


def compare(crop_size, n_rounds):
    """Give the table's rows for one size of crops."""
    config = TrainingConfig(crop_size=crop_size)
    with TemporaryDirectory() as folder:
        entries, labels = make_entries(Path(folder))
        sides = {
            "cellpose 3.1": partial(CellposeStep, entries, labels, config),
            "cellflow float32": partial(CellflowStep, entries, config, torch.float32),
            "cellflow bfloat16": partial(CellflowStep, entries, config, torch.bfloat16),
        }
        times = {name: timing.wall for name, timing in in_processes(sides, n_rounds).items()}
        loading = batch_milliseconds(entries, config)
    reference = times["cellpose 3.1"]
    rows = [(crop_size, name, wall, reference / wall) for name, wall in times.items()]
    return [*rows, (crop_size, "of which the batch is made in", loading, "")]


if __name__ == "__main__":
    given_rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"A training step of 8 crops, {torch.get_num_threads()} threads, medians in turns\n")
    table = [row for size in (224, 128) for row in compare(size, given_rounds)]
    print(markdown(("crop px", "side", "ms", "ratio"), table))
