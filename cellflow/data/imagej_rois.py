"""Label images to ImageJ regions (ROIs), one a cell, in a zip file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellflow._version import PROGRAM
from cellflow.atomic import atomic_path
from cellflow.data.contours import trace_contours
from cellflow.data.label_images import as_label_image
from cellflow.data.rle import labels_to_masks

if TYPE_CHECKING:
    from roifile import ImagejRoi

MOVE_TO, LINE_TO, CLOSE = 0.0, 1.0, 4.0
"""The parts of a path in a composite region: ``java.awt.geom.PathIterator``."""


def write_rois(path: Path | str, labels: NDArray[Any]) -> None:
    """Write every cell as an ImageJ region along the edges of its pixels, in one zip.

    Parameters
    ----------
    path : path
    labels : (H, W) integer or bool
        0 background, cells from 1; each region is named after its label.

    Raises
    ------
    LabelError
        As `as_label_image`.
    DataError
        The file cannot be written.

    Notes
    -----
    A cell in one piece is a polygon; one in several pieces or with holes is a composite region,
    which holds exactly its pixels.
    """
    labels = as_label_image(labels)
    polygons = trace_contours(labels_to_masks(labels)).polygons()
    numbers = np.unique(labels[labels > 0]).tolist()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.comment = PROGRAM.encode()
        for number, loops in zip(numbers, polygons, strict=True):
            name = f"cell-{number:04d}"
            archive.writestr(f"{name}.roi", _region(loops, name).tobytes())


def _region(loops: Sequence[NDArray[np.int32]], name: str) -> "ImagejRoi":
    from roifile import ROI_TYPE, ImagejRoi

    corners = np.concatenate(loops)
    if len(loops) == 1:
        region = ImagejRoi.frompoints(corners[:, ::-1], name=name)
    else:
        path = _path(loops)
        region = ImagejRoi(
            roitype=ROI_TYPE.RECT, name=name, shape_roi_size=len(path), multi_coordinates=path
        )
    # Corners lie between pixels, so the last one is already the region's end.
    region.top, region.left = corners.min(axis=0).tolist()
    region.bottom, region.right = corners.max(axis=0).tolist()
    return region


def _path(loops: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    parts: list[float] = []
    for loop in loops:
        for number, (y, x) in enumerate(loop.tolist()):
            parts += [LINE_TO if number else MOVE_TO, x, y]
        parts.append(CLOSE)
    return np.array(parts, np.float32)
