"""A small scene through every kernel of the numeric rooms; run with the compiler and without.

    python tests/kernel_scene.py RESULT.npz

With ``NUMBA_DISABLE_JIT=1`` the names of the kernels that ran are written too.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from cellflow.data.rle import labels_to_rle, rle_to_masks
from cellflow.dynamics.boundary import shift_boundaries
from cellflow.dynamics.cell_features import cell_features
from cellflow.dynamics.cleanup import drop_bad_cells
from cellflow.dynamics.follow import follow_flows
from cellflow.dynamics.segment import flows_to_labels
from cellflow.metrics.overlap import find_overlap
from cellflow.targets.centers import find_boxes
from cellflow.targets.flows import labels_to_flows


def draw_labels() -> np.ndarray:
    """Draw three discs, a cell without its own mean, a one-pixel cell and one with a hole."""
    labels = np.zeros((34, 46), np.int32)
    rows, columns = np.indices(labels.shape)
    for number, (y, x, radius) in enumerate(((8, 8, 6), (8, 22, 7), (24, 10, 7)), 1):
        labels[np.hypot(rows - y, columns - x) < radius] = number
    labels[18:32, 24:40], labels[20:30, 26:40], labels[24, 44] = 5, 0, 7
    ring = np.hypot(rows - 9, columns - 37)
    labels[(ring < 8) & (ring > 1.5)] = 9
    return labels


def run_scene() -> dict[str, np.ndarray]:
    """Give what the public functions make of the scene."""
    labels, rng = draw_labels(), np.random.default_rng(0)
    flows = labels_to_flows(labels)
    noisy = flows + 0.15 * rng.standard_normal(flows.shape, np.float32)
    cellprob = np.where(labels > 0, np.float32(3), np.float32(-3))
    # Its flows do not fit its shape: the check drops it, and numbers behind it move up.
    noisy[:, labels == 2] *= 0.3
    results = {"flows": flows, "rle": np.array(labels_to_rle(labels))}
    for tolerance in (0.0, 1e-3):
        results[f"ends {tolerance}"] = follow_flows(
            noisy, cellprob, n_steps=45, tolerance=tolerance
        )[0]
        results[f"labels {tolerance}"] = flows_to_labels(
            noisy, cellprob, n_steps=45, tolerance=tolerance, min_size=5
        )
    found = results["labels 0.001"]
    results["scores"] = cell_features(found, noisy, cellprob).scores
    for shift in (1.5, -1.0):
        results[f"shift {shift}"] = shift_boundaries(labels, cellprob, shift)
    masks = rle_to_masks([*labels_to_rle(labels), "5 9 60 4"], labels.shape)
    for name, truth in (("masks", masks), ("images", labels)):
        overlap = find_overlap(truth, found)
        results[f"overlap {name}"] = np.stack(
            [overlap.truth, overlap.predicted, overlap.intersection]
        )
    # A cell in another's hole is overwritten, and the numbers are made anew.
    nested = np.zeros((9, 9), np.int32)
    nested[1:8, 1:8], nested[2:7, 2:7], nested[3:6, 3:6] = 1, 0, 2
    cells = find_boxes(nested)
    results["nested"] = drop_bad_cells(cells, labels_to_flows(nested), min_size=1)
    return results


def names_that_run(work: Callable[[], Any]) -> tuple[Any, set[str]]:
    """Give what `work` returns, and ``module.function`` of every cellflow function that ran."""
    names = set()

    def watch(frame: Any, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("cellflow."):
            names.add(f"{module}.{frame.f_code.co_name}")

    sys.setprofile(watch)
    try:
        return work(), names
    finally:
        sys.setprofile(None)


if __name__ == "__main__":
    made, ran = names_that_run(run_scene)
    np.savez(sys.argv[1], **made, ran=np.array(sorted(ran)))
