"""Benchmark of flow targets against `cellpose.dynamics.masks_to_flows` 3.1, on the CPU.

python benchmarks/targets.py [scene ...]        default: cort astro shsy5y mid
"""

import sys

import numba
import numpy as np

from measure import in_turns, markdown  # isort: skip
from cellpose import dynamics
from scenes import SCENES, draw_labels

from cellflow import labels_to_flows

HEADER = ("scene", "cells", "cellpose ms", "cellflow ms", "ratio", "per core", "mean cosine")


def main(scenes: list[str]) -> None:
    """Print one row per scene."""
    rows = []
    for name in scenes:
        labels = draw_labels(SCENES[name])
        wide = labels.astype(np.int64)
        theirs, ours = in_turns(
            lambda wide=wide: dynamics.masks_to_flows(wide),
            lambda labels=labels: labels_to_flows(labels),
            n_theirs=3 if name in ("mid", "big") else 7,
        )
        cosine = mean_cosine(dynamics.masks_to_flows(wide), labels_to_flows(labels))
        rows.append(
            (
                name,
                labels.max(),
                theirs.wall,
                ours.wall,
                theirs.wall / ours.wall,
                theirs.processor / ours.processor,
                f"{cosine:.7f}",
            )
        )
    print(f"Flow targets, {numba.get_num_threads()} threads; cellpose / cellflow, medians in turns")
    print("by the clock, and by the time that processors computed (true on a busy machine too)\n")
    print(markdown(HEADER, rows))


def mean_cosine(one: np.ndarray, two: np.ndarray) -> float:
    """Give the mean cosine between two fields, over the pixels where both have a flow."""
    lengths = np.hypot(*one) * np.hypot(*two)
    live = lengths > 0
    return float(((one * two).sum(0)[live] / lengths[live]).mean())


if __name__ == "__main__":
    main(sys.argv[1:] or ["cort", "astro", "shsy5y", "mid"])
