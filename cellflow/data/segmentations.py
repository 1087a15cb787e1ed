"""One COCO ``segmentation``, in any of its three forms, to runs."""

from typing import Any

import numpy as np

from cellflow.data.coco_rle import Runs, counts_to_runs
from cellflow.data.polygons import polygon_to_runs
from cellflow.errors import LabelError
from cellflow.records import Shape


def segmentation_to_runs(segmentation: Any, shape: Shape) -> Runs:
    """Give the pixels of a cell as column-major runs.

    Parameters
    ----------
    segmentation : dict or list
        ``{"size": [H, W], "counts": …}`` with a compressed string or with numbers, or a list of
        polygons ``[x, y, x, y …]``.
    shape : (H, W)
        Of the image.

    Returns
    -------
    starts, ends : (R,) int64
        Empty when no pixel lies inside; what lies outside the image is cut off.

    Raises
    ------
    LabelError
        Neither of the forms, another size than the image's, or a vertex that is not finite.
    RleError
        Broken run lengths.
    """
    if isinstance(segmentation, dict):
        if "size" not in segmentation or "counts" not in segmentation:
            raise LabelError("expected size and counts in its segmentation")
        size = segmentation["size"]
        if not isinstance(size, list | tuple) or list(size) != list(shape):
            raise LabelError(f"has size {size}, but its image has {list(shape)}")
        return counts_to_runs(segmentation["counts"], shape)
    try:
        parts = [
            polygon_to_runs(np.asarray(part, np.float64).reshape(-1, 2), shape)
            for part in segmentation
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelError(f"expected polygons as lists of x, y pairs: {error}") from error
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([start for start, _ in parts]), np.concatenate([end for _, end in parts])


def lies_outside(segmentation: Any, shape: Shape) -> bool:
    """Tell whether all polygons of a segmentation lie wholly outside the image.

    Such a file is for other images, or for other sizes of them. False for run lengths, and if there
    is no polygon.
    """
    if isinstance(segmentation, dict) or not any(segmentation):
        return False
    vertices = np.concatenate(
        [np.asarray(part, np.float64).reshape(-1, 2) for part in segmentation]
    )
    if len(vertices) == 0:
        return False
    least, largest = vertices.min(axis=0), vertices.max(axis=0)
    height, width = shape
    return bool((largest <= 0).any() or least[0] >= width or least[1] >= height)
