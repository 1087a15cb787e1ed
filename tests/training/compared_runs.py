"""Whether two runs came to the same end."""

import csv

import torch
from safetensors.torch import load_file

TIMINGS = ("seconds", "images_per_second", "waiting_share")


def metrics_of(folder):
    """Every line of ``metrics.csv`` but for the time that it took."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMINGS} for row in csv.DictReader(file)]


def same_weights(one, other):
    """Tell whether the weights of two model folders are equal bit by bit."""
    first, second = (load_file(folder / "weights.safetensors") for folder in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)
