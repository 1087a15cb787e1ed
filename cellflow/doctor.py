"""``cellflow doctor``: what this machine has and how cellflow would use it, for bug reports."""

import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cellflow._version import __version__
from cellflow.errors import CellflowError
from cellflow.processors import n_processors

PACKAGES = ("cellpose", "torch", "numpy", "scipy", "numba", "tifffile", "imagecodecs", "click")
PRETRAINED = ("cyto3", "cyto2", "livecell_cp3")


def machine_report() -> dict[str, str]:
    """Give name and value of everything that matters for a run, in the order to print.

    Notes
    -----
    Nothing is downloaded or written.
    """
    return {
        "cellflow": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
        "processors": f"{n_processors()} usable of {os.cpu_count()}",
        **_torch_report(),
        **_weights_report(),
        "extra rcnn": _rcnn_report(),
        "kernel cache": _kernel_cache(),
    }


def warm_kernels() -> float:
    """Compile all Numba kernels of the main workflow, so that the first real run does not have to.

    Returns
    -------
    float
        Seconds that it took; a few if the kernels were in the cache.

    Notes
    -----
    Runs the workflow once in a temporary folder, on two synthetic images and with a tiny network.
    So each kernel is compiled for exactly the argument types that the commands use.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _run_small_job(Path(folder))
    return time.perf_counter() - started


def _run_small_job(folder: Path) -> None:
    # Imported here, so that a report does not wait for compiled kernels to load.
    from cellflow.comparison.compare import compare
    from cellflow.config import Config, DynamicsConfig, NetworkConfig, TrainingConfig
    from cellflow.data.coco import open_coco
    from cellflow.data.coco_export import write_coco
    from cellflow.data.images import list_images
    from cellflow.data.kaggle import open_kaggle
    from cellflow.data.label_images import read_label_image
    from cellflow.data.outputs import Outputs
    from cellflow.data.polygons import polygon_to_runs
    from cellflow.diagnosis.inspection import inspect_data
    from cellflow.dynamics.cleanup import keep_cells
    from cellflow.inference.folder import predict_folder
    from cellflow.inference.predict import load_model
    from cellflow.metrics.average_precision import average_precision
    from cellflow.report.write import report_comparison
    from cellflow.synth.competition import write_competition
    from cellflow.targets.centers import find_boxes
    from cellflow.training.fine_tune import fine_tune

    write_competition(folder / "data", 2, 0, n_test_images=1)
    inspect_data(folder / "data")
    config = Config(
        network=NetworkConfig(channels_per_level=(2, 4)),
        training=TrainingConfig(n_epochs=1, crop_size=32, batch_size=1, validation_share=0),
        # With random weights only the loosest thresholds find any cells.
        dynamics=DynamicsConfig(cellprob_threshold=-9.0, flow_threshold=9.0, min_size=1),
    )
    fine_tune(folder / "data", folder / "model", config, init="scratch", device="cpu")
    found = folder / "found.csv"
    predict_folder(
        load_model(folder / "model", device="cpu"),
        list_images(folder / "data" / "test"),
        Outputs([found, folder / "labels"], cells=folder / "cells.csv"),
        overlays=folder / "pictures",
    )
    truth = folder / "data" / "test.csv"
    comparison = compare([found, folder / "labels"], truth, n_draws=10)
    report_comparison(folder / "report.html", comparison, truth)
    samples = ((entry.image_path.name, entry.load()) for entry in open_kaggle(folder / "data"))
    write_coco(folder / "data" / "train" / "coco.json", samples)
    open_coco(folder / "data" / "train")
    polygon_to_runs(np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0]]), (8, 8))
    labels = read_label_image(next((folder / "labels").iterdir()))
    average_precision(labels, labels)
    # Needed since above perhaps no cell was dropped.
    keep_cells(find_boxes(np.array([[1, 2]], np.int32)), np.array([False, True]))
    _warm_norms()
    _warm_baselines()


def _warm_norms() -> None:
    """Call the kernels of a training in bfloat16, in all variants, on large enough maps."""
    import torch

    from cellflow.network.joined_norms import FEWEST_VALUES, normalize

    norm, feature = torch.nn.BatchNorm2d(2), torch.zeros(2, 2)
    maps = torch.zeros((2, 2, FEWEST_VALUES // 4, 1), dtype=torch.bfloat16, requires_grad=True)
    normalize(norm, maps, clip=True).sum().backward()  # type: ignore[no-untyped-call]
    normalize(norm, maps, None, feature, clip=True)
    normalize(norm, maps, maps, feature, clip=True)


def _warm_baselines() -> None:
    """Call the kernels of the baselines on a tiny cell; training a baseline would take too long."""
    from cellflow.baselines.flooding import flood
    from cellflow.baselines.mask_pasting import paste_masks
    from cellflow.baselines.suppression import suppress_boxes
    from cellflow.baselines.truth_crops import TruthCrop, crop_masks
    from cellflow.data.rle import labels_to_masks
    from cellflow.inference.overlap_rules import resolve_overlap
    from cellflow.records import Detections
    from cellflow.training.augment import draw_warp
    from cellflow.training.levels import LEVELS

    labels = np.ones((8, 8), np.int32)
    warp = draw_warp(np.random.default_rng(0), (8, 8), (8, 8), levers=LEVELS["none"])
    truth = TruthCrop.of(crop_masks(labels_to_masks(labels), warp))
    suppress_boxes(truth.boxes, np.ones(len(truth.boxes), np.float32), 0.5)
    masks, _ = paste_masks(np.ones((1, 4, 4), np.float32), truth.boxes, (8, 8), 0.5)
    resolve_overlap(Detections(name="", masks=masks))
    flood(np.zeros((8, 8), np.float32), labels, labels > 0)


def _torch_report() -> dict[str, str]:
    import torch

    from cellflow.network.devices import choose_device, cuda_fault
    from cellflow.network.precision import choose_precision

    device = choose_device("auto")
    report = {"torch threads": str(torch.get_num_threads())}
    report["cpu capability"] = torch.backends.cpu.get_cpu_capability()
    for index in range(torch.cuda.device_count()):
        if fault := cuda_fault(index):
            report[f"cuda:{index}"] = f"does not work: {fault}"
            continue
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


def _rcnn_report() -> str:
    from cellflow.baselines.operators import load_torchvision

    try:
        return str(load_torchvision())
    except CellflowError as error:
        return f"none: {error}"


def _kernel_cache() -> str:
    from numba import config

    folder = Path(config.CACHE_DIR or Path(__file__).parent)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    state = "writable" if os.access(there, os.W_OK) else "not writable: Numba uses a user folder"
    return f"{folder} ({state})"
