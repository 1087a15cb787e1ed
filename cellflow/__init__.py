"""Cellpose flow-field segmentation of competition data: the public names, loaded on first use."""

import importlib
from typing import TYPE_CHECKING, Any

from cellflow._version import __version__
from cellflow.kernel_cache import ensure_cache_folder

if TYPE_CHECKING:
    from cellflow.comparison.compare import compare
    from cellflow.comparison.score import score_submission
    from cellflow.data.images import read_image
    from cellflow.data.label_images import write_label_tiff
    from cellflow.data.rle import labels_to_rle, masks_to_dense, rle_to_masks
    from cellflow.data.seg_files import write_seg
    from cellflow.dynamics.segment import flows_to_labels, follow_flows
    from cellflow.inference.predict import load_model
    from cellflow.metrics.average_precision import average_precision
    from cellflow.targets.flows import labels_to_flows
    from cellflow.training.fine_tune import fine_tune

__all__ = [
    "__version__",
    "average_precision",
    "compare",
    "fine_tune",
    "flows_to_labels",
    "follow_flows",
    "labels_to_flows",
    "labels_to_rle",
    "load_model",
    "masks_to_dense",
    "read_image",
    "rle_to_masks",
    "score_submission",
    "write_label_tiff",
    "write_seg",
]

_HOME = {
    "average_precision": "cellflow.metrics.average_precision",
    "compare": "cellflow.comparison.compare",
    "fine_tune": "cellflow.training.fine_tune",
    "flows_to_labels": "cellflow.dynamics.segment",
    "follow_flows": "cellflow.dynamics.segment",
    "labels_to_flows": "cellflow.targets.flows",
    "labels_to_rle": "cellflow.data.rle",
    "load_model": "cellflow.inference.predict",
    "masks_to_dense": "cellflow.data.rle",
    "read_image": "cellflow.data.images",
    "rle_to_masks": "cellflow.data.rle",
    "score_submission": "cellflow.comparison.score",
    "write_label_tiff": "cellflow.data.label_images",
    "write_seg": "cellflow.data.seg_files",
}


ensure_cache_folder()


if not TYPE_CHECKING:  # A type checker would take every misspelt name for a public one.

    def __getattr__(name: str) -> Any:
        # Importing the package must not import torch or Numba, so that `cellflow --help` is fast.
        if name in _HOME:
            return getattr(importlib.import_module(_HOME[name]), name)
        raise AttributeError(f"module 'cellflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
