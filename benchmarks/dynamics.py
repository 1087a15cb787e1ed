"""Benchmark of flow following and segmentation against Cellpose 3.1, on the CPU.

python benchmarks/dynamics.py [scene ...]       default: cort astro shsy5y mid

Each stage is measured with tolerance 0 (exact) and with the default. The cells are compared with
those of Cellpose's own steps, where labels are made gap-free before small cells are removed.
"""

import sys

import numba
import numpy as np

from measure import in_turns, markdown  # isort: skip
import fastremap
from cellpose import dynamics, metrics, utils
from scenes import FLOW_SCALE, SCENES, draw_labels, network_output

from cellflow import flows_to_labels, follow_flows, labels_to_flows

HEADER = (
    "scene",
    "stage",
    "tolerance",
    "cellpose ms",
    "cellflow ms",
    "ratio",
    "per core",
    "agreement",
)


def main(scenes: list[str]) -> None:
    """Print four rows per scene."""
    rows: list[tuple[object, ...]] = []
    for name in scenes:
        labels = draw_labels(SCENES[name])
        output, cellprob = network_output(labels_to_flows(labels), labels)
        n_theirs = 3 if name in ("mid", "big") else 7
        rows += [(name, *row) for row in compare_follow(output, cellprob, n_theirs)]
        rows += [(name, *row) for row in compare_segment(output, cellprob, n_theirs)]
    print(f"Dynamics, {numba.get_num_threads()} threads; cellpose / cellflow, medians in turns")
    print("by the clock, and by the time that processors computed (true on a busy machine too)\n")
    print(markdown(HEADER, rows))


def compare_follow(output, cellprob, n_theirs):
    """Yield rows: stage, tolerance, times, ratios, share of equal end pixels."""
    inside = cellprob > 0
    masked, pixels = output * inside / FLOW_SCALE, np.nonzero(inside)
    flows = output / np.float32(FLOW_SCALE)
    ends = dynamics.follow_flows(masked, pixels)
    for tolerance in (0.0, 1e-3):
        theirs, ours = in_turns(
            lambda: dynamics.follow_flows(masked, pixels),
            lambda t=tolerance: follow_flows(flows, cellprob, tolerance=t),
            n_theirs,
        )
        ours_ends, _ = follow_flows(flows, cellprob, tolerance=tolerance)
        same = (ends.astype(int) == ours_ends.astype(int)).all(0).mean()
        yield "follow", tolerance, *ratios(theirs, ours), f"same end pixel {same:.4f}"


def compare_segment(output, cellprob, n_theirs):
    """Yield rows: stage, tolerance, times, ratios, agreement of the cells."""
    flows = output / np.float32(FLOW_SCALE)
    expected = gap_free_steps(output, cellprob)
    for tolerance in (0.0, 1e-3):
        theirs, ours = in_turns(
            lambda: dynamics.compute_masks(output, cellprob, min_size=15),
            lambda t=tolerance: flows_to_labels(flows, cellprob, tolerance=t),
            n_theirs,
        )
        found = flows_to_labels(flows, cellprob, tolerance=tolerance)
        yield "all", tolerance, *ratios(theirs, ours), agreement(expected, found)


def ratios(theirs, ours):
    """Give both wall-clock times, and the ratios of wall-clock and of processor times."""
    return (
        theirs.wall,
        ours.wall,
        theirs.wall / ours.wall,
        theirs.processor / ours.processor,
    )


def gap_free_steps(output, cellprob):
    """Give Cellpose's cells, with labels made gap-free before small cells are removed."""
    masks = dynamics.compute_masks(output, cellprob, min_size=-1)
    masks = fastremap.renumber(masks.astype(np.int64))[0]
    masks = utils.fill_holes_and_remove_small_masks(masks, min_size=15)
    return fastremap.renumber(masks)[0].astype(np.int32)


def agreement(expected, found):
    """Describe how well two segmentations agree."""
    if np.array_equal(expected, found):
        return f"identical, {found.max()} cells"
    precision = metrics.average_precision(expected, found, [0.95])[0][0]
    overlap = metrics._intersection_over_union(expected, found)[1:, 1:].max(1)
    return f"AP@.95 {precision:.4f}, mean matched IoU {overlap[overlap > 0.5].mean():.5f}"


if __name__ == "__main__":
    main(sys.argv[1:] or ["cort", "astro", "shsy5y", "mid"])
