"""Large images: time per cell pixel and peak memory of `flows_to_labels`, score of 60,000 cells.

    python benchmarks/large.py [scene ...]       default: shsy5y mid big

The time should grow only with the number of cell pixels. The peak memory, including the flow field
and `cellprob`, should stay below six times that of the flow field (8 bytes per pixel). Linux only,
since memory is read from /proc.
"""

import subprocess
import sys
import time
from pathlib import Path

from measure import markdown

HEADER = (
    "scene",
    "shape",
    "cells",
    "cell pixels",
    "flows_to_labels s",
    "ns a cell pixel",
    "peak / flow field",
    "average_precision s",
)
N_ROUNDS = 3


def main(scenes: list[str]) -> None:
    """Print one row per scene, each measured in a process of its own."""
    rows = []
    for name in scenes:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name], capture_output=True, text=True, check=True
        )
        rows.append(done.stdout.strip().split("|"))
    print("Large images, all threads, best of three\n")
    print(markdown(HEADER, rows))


def measure_one(name: str) -> None:
    """Print the row of one scene."""
    import numpy as np
    from scenes import FLOW_SCALE, SCENES, draw_labels, network_output

    from cellflow import average_precision, flows_to_labels, labels_to_flows

    labels = draw_labels(SCENES[name])
    output, cellprob = network_output(labels_to_flows(labels), labels)
    flows = output / np.float32(FLOW_SCALE)
    del output
    small = np.s_[:, :256, :256]
    flows_to_labels(flows[small], cellprob[small[1:]])  # loads the kernels
    n_pixels = int((cellprob > 0).sum())
    own = flows.nbytes + cellprob.nbytes
    before = reset_peak()
    seconds = []
    for _ in range(N_ROUNDS):
        started = time.perf_counter()
        found = flows_to_labels(flows, cellprob)
        seconds.append(time.perf_counter() - started)
        peak = resident("VmHWM") - before + own
    started = time.perf_counter()
    average_precision(labels, found)
    scored = time.perf_counter() - started
    best = min(seconds)
    shape = "x".join(map(str, labels.shape))
    print(
        f"{name}|{shape}|{found.max()}|{n_pixels}|{best:.3f}|{1e9 * best / n_pixels:.1f}"
        f"|{peak / flows.nbytes:.2f}|{scored:.3f}"
    )


def reset_peak() -> int:
    """Reset the peak memory that Linux records; give the resident memory, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(name: str) -> int:
    """Give the resident memory (VmRSS) or its peak (VmHWM), bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure_one(sys.argv[2])
    else:
        main(sys.argv[1:] or ["shsy5y", "mid", "big"])
