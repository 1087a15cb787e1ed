"""What this machine has and how cellflow would use it; to paste into a bug report."""

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

from cellflow._version import __version__
from cellflow.errors import CellflowError

PACKAGES = ("cellpose", "torch", "numpy", "scipy", "numba", "tifffile", "imagecodecs", "click")
PRETRAINED = ("cyto3", "cyto2", "livecell_cp3")


def machine_report() -> dict[str, str]:
    """Give name and value of everything that matters for a run, in reading order.

    Notes
    -----
    Looks only; nothing is downloaded or written.
    """
    return {
        "cellflow": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "processors": f"{_usable_processors()} usable of {os.cpu_count()}",
        **_torch_report(),
        **_weights_report(),
        "kernel cache": _kernel_cache(),
    }


def warm_kernels() -> float:
    """Compile every Numba kernel of the main job, so that the first real run need not.

    Returns
    -------
    float
        Seconds that it took; about none when the cache was warm.
    """
    # Imported here: a report must not wait for compiled kernels to load.
    from cellflow.data.flatten import flatten
    from cellflow.data.rle import labels_to_rle, rle_to_masks
    from cellflow.dynamics.segment import cell_scores, flows_to_labels
    from cellflow.metrics.average_precision import average_precision
    from cellflow.targets.flows import labels_to_flows

    started = time.perf_counter()
    labels = np.zeros((48, 64), np.int32)
    labels[8:40, 8:30] = 1
    labels[10:30, 34:60] = 2
    masks = rle_to_masks(labels_to_rle(labels), (48, 64))
    flows = labels_to_flows(flatten(masks))
    cellprob = np.where(labels > 0, np.float32(5), np.float32(-5))
    for tolerance in (0.0, 1e-3):
        found = flows_to_labels(flows, cellprob, tolerance=tolerance)
    cell_scores(found, flows, cellprob)
    average_precision(masks, found)
    return time.perf_counter() - started


def _usable_processors() -> int:
    # A container or a scheduler may allow fewer processors than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _torch_report() -> dict[str, str]:
    import torch

    from cellflow.network.devices import choose_device
    from cellflow.network.precision import choose_precision

    device = choose_device("auto")
    report = {"torch threads": str(torch.get_num_threads())}
    report["cpu capability"] = torch.backends.cpu.get_cpu_capability()
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        report[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"
    report["device auto"] = str(device)
    report["precision auto"] = str(choose_precision("auto", device.device))
    return report


def _weights_report() -> dict[str, str]:
    from cellflow.network.cpnet import find_pretrained

    report = {}
    for name in PRETRAINED:
        try:
            report[f"weights {name}"] = str(find_pretrained(name))
        except CellflowError as error:
            report[f"weights {name}"] = f"none: {error}"
    return report


def _kernel_cache() -> str:
    from numba import config

    folder = Path(config.CACHE_DIR or Path(__file__).parent)
    state = "writable" if os.access(folder, os.W_OK) else "not writable: Numba uses a user folder"
    return f"{folder} ({state})"
