"""A training step against Cellpose 3.1's own trainer, on the same images.

    python benchmarks/training.py [n_rounds [crop_px ...]]

A step is everything that repeats: crops, network, loss, gradient, optimiser. Cellpose's side is
``cellpose.train.train_seg`` itself, paused at the start of each forward pass. Each side runs in a
process of its own, as a user would run it, and rounds alternate between the sides, so that a busy
machine slows all of them down. What counts is the ratio of the medians; on a busy machine that of
the processor times ("per core"). If there is a CUDA device, it is measured too.
"""

import sys
import threading
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import in_processes, markdown
from scenes import SCENES, draw_labels

from cellflow.config import AugmentConfig, DataConfig, NetworkConfig, TrainingConfig
from cellflow.data.dataset import Entry
from cellflow.data.images import write_png
from cellflow.data.rle import labels_to_masks
from cellflow.network.cpnet import build_network
from cellflow.network.precision import dtype_name, has_native_bfloat16, quickest_dtype
from cellflow.network.quick_training import quicken_training
from cellflow.training.batches import CropSource, loader_threads, stream_batches
from cellflow.training.budget import Pace, Plan
from cellflow.training.checkpoint import Position
from cellflow.training.loop import Run, training_step
from cellflow.training.optimizer import make_optimizer
from cellflow.training.prepared import prepare_entry

DIAMETER = {"cort": 17.0, "astro": 32.0, "shsy5y": 17.0}
WANTED = {
    "cpu": {"cellflow float32": 1.3, "cellflow bfloat16": 3.5},
    "cuda": {"cellflow float16": 5.0, "cellflow bfloat16": 5.0},
}
"""Target: how many times as fast as Cellpose."""

STEPS_A_CALL = {"cpu": 1, "cuda": 20}
"""Steps that are timed together; several on a GPU, where a single step does not wait for the
device."""


def given(masks):
    return masks


def make_entries(folder):
    """Draw one image of each scene; give entries, images and labels."""
    entries, images, labels = [], [], []
    for name in DIAMETER:
        drawn = draw_labels(SCENES[name])
        noise = np.random.default_rng(0).normal(0, 20, drawn.shape)
        image = (100 + 50 * (drawn > 0) + noise).clip(0, 255).astype(np.uint8)
        write_png(folder / f"{name}.png", image)
        truth = partial(given, labels_to_masks(drawn))
        entries.append(Entry(name=name, image_path=folder / f"{name}.png", read_masks=truth))
        images.append(image)
        labels.append(drawn)
    return entries, images, labels


class CellposeTrainer:
    """Runs ``train_seg`` in a thread; each call lets it do its next steps."""

    def __init__(self, images, labels, config, device):
        self.network = build_network(NetworkConfig(), torch.Generator().manual_seed(0))
        # The memory format that Cellpose itself uses for weights.
        self.network.to(device, memory_format=torch.contiguous_format)
        self.images, self.labels, self.config = images, labels, config
        self.n_steps = STEPS_A_CALL[device]
        self.may_go, self.has_come = threading.Semaphore(0), threading.Semaphore(0)
        self.network.register_forward_pre_hook(self._wait)
        threading.Thread(target=self._train, daemon=True).start()
        self.has_come.acquire()

    def _wait(self, network, inputs):
        self.has_come.release()
        self.may_go.acquire()

    def _train(self):
        from cellpose.train import train_seg

        with TemporaryDirectory() as folder:
            train_seg(
                self.network,
                train_data=self.images,
                train_labels=self.labels,
                channels=[0, 0],
                batch_size=self.config.batch_size,
                bsize=self.config.crop_size,
                nimg_per_epoch=50 * self.config.batch_size,
                n_epochs=2000,
                save_every=10**9,
                save_path=folder,
            )

    def __call__(self):
        for _ in range(self.n_steps):
            self.may_go.release()
            self.has_come.acquire()


class CellflowTrainer:
    """Runs the steps that `cellflow.training.loop.train` repeats."""

    def __init__(self, entries, config, device, dtype):
        network = build_network(NetworkConfig(), torch.Generator().manual_seed(0)).train()
        network.to(device)
        quicken_training(network, torch.device(device), dtype)
        source = source_of(entries, config)
        self.run = Run(
            network=network,
            optimizer=make_optimizer(network, config),
            source=source,
            config=config,
            position=Position(n_epochs=1, validate_every=1),
            pace=Pace(Plan(n_epochs=1, validate_every=1), 1),
            device=torch.device(device),
            dtype=dtype,
        )
        torch.backends.cudnn.benchmark = True
        self.n_steps, threads = STEPS_A_CALL[device], loader_threads(self.run.device)
        pin_for = self.run.device if device == "cuda" else None
        self.batches = stream_batches(source, 0, pin_for=pin_for, n_threads=threads)

    def __call__(self):
        for _ in range(self.n_steps):
            losses = training_step(self.run, next(self.batches))
        return float(losses.sum())


def source_of(entries, config, **augment):
    rescales = [30.0 / diameter for diameter in DIAMETER.values()]
    return CropSource(
        entries=entries,
        rescales=rescales,
        data=DataConfig(),
        training=config,
        augment=AugmentConfig(**augment),
    )


def batch_milliseconds(entries, config, **augment):
    """Give the median processor time to make a batch, without the network; milliseconds."""
    loader = source_of(entries, config, **augment)
    loader.batch(0)
    times = []
    for step in range(1, 10):
        before = time.process_time()
        loader.batch(step)
        times.append(time.process_time() - before)
    return 1e3 * float(np.median(times))


def preparing_milliseconds(entries):
    """Give the mean processor time to read and normalise an image and compute its flows, ms."""
    for entry in entries:
        prepare_entry(entry, DataConfig())
    before = time.process_time()
    for entry in entries:
        prepare_entry(entry, DataConfig())
    return 1e3 * (time.process_time() - before) / len(entries)


def sides_of(entries, images, labels, config, device):
    """Give the sides to compare, by name; 16 bits only if the device computes them natively."""
    sides = {"cellpose 3.1 train_seg": partial(CellposeTrainer, images, labels, config, device)}
    ours = partial(CellflowTrainer, entries, config, device)
    for dtype in (torch.float32, quickest_dtype(torch.device(device))):
        sides[f"cellflow {dtype_name(dtype)}"] = partial(ours, dtype)
    return sides


def compare(crop_size, device, n_rounds):
    """Give the rows of the table for one crop size on one device."""
    config = TrainingConfig(crop_size=crop_size)
    with TemporaryDirectory() as folder:
        entries, images, labels = make_entries(Path(folder))
        sides = sides_of(entries, images, labels, config, device)
        times = in_processes(sides, n_rounds)
    reference, n_steps = next(iter(times.values())), STEPS_A_CALL[device]
    return [
        (device, crop_size, name, time.wall / n_steps, reference.wall / time.wall,
         reference.processor / time.processor, WANTED[device].get(name, ""))
        for name, time in times.items()
    ]  # fmt: skip


def loading():
    """Give the rows of the table of loading times, for one core."""
    config = TrainingConfig()
    with TemporaryDirectory() as folder:
        entries, _, _ = make_entries(Path(folder))
        rows = [
            (
                f"a batch of 8 crops of 224 px, {level}",
                batch_milliseconds(entries, config, level=level),
            )
            for level in ("cellpose", "report", "full")
        ]
        return [*rows, ("preparing an image, once", preparing_milliseconds(entries))]


if __name__ == "__main__":
    given_rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    sizes = [int(text) for text in sys.argv[2:]] or [224, 128]
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    print(f"A training step of 8 crops, {torch.get_num_threads()} threads, medians in turns\n")
    table = [
        row for device in devices for size in sizes for row in compare(size, device, given_rounds)
    ]
    print(
        markdown(("device", "crop px", "side", "ms a step", "ratio", "per core", "wanted"), table)
    )
    if not has_native_bfloat16(torch.device("cpu")):
        print("\nThis processor has no bfloat16, so that side was not measured.")
    if "cuda" not in devices:
        print("\nNo CUDA device was found.")
    print("\nMaking images, processor time of one core\n")
    print(markdown(("what", "ms"), loading()))
