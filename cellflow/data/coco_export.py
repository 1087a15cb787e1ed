"""Annotated images to COCO files, and the ids of images and cell types in them."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from cellflow.atomic import write_text
from cellflow.data.coco_rle import masks_to_counts
from cellflow.errors import DataError
from cellflow.records import CellMasks, Sample

CELL_TYPES = ("shsy5y", "astro", "cort")
"""The competition's three, in the order of their COCO category numbers 1, 2, 3."""
UNKNOWN_TYPE = "cell"
"""The category of images without a cell type."""
LARGEST_ID = 2**31 - 1
"""Fits into the integers of every reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoNumbers:
    """The ids of a data set's images and cell types, the same in all its COCO files.

    Parameters
    ----------
    images, categories : mapping of str to int
        By image name, and by cell type.
    """

    images: Mapping[str, int]
    categories: Mapping[str, int]

    @classmethod
    def of(cls, names: Collection[str], cell_types: Iterable[str | None]) -> Self:
        """Give the images and the cell types their ids.

        Notes
        -----
        If all names are different whole numbers, these are the ids, as in COCO itself, since some
        tools take the id from the file name; otherwise ids count from 1 in the order of the names.
        If one of the competition's cell types occurs, 1, 2 and 3 are shsy5y, astro and cort; other
        types follow in alphabetical order.

        Examples
        --------
        >>> CocoNumbers.of(["b", "a"], ["cort", None]).images
        {'a': 1, 'b': 2}
        >>> CocoNumbers.of(["007", "012"], []).images
        {'007': 7, '012': 12}
        """
        own = {name: int(name) for name in sorted(names) if name.isascii() and name.isdecimal()}
        is_numbered = len(set(own.values())) == len(names)
        if not is_numbered or max(own.values(), default=0) > LARGEST_ID:
            own = {name: number for number, name in enumerate(sorted(names), start=1)}
        kinds = {kind or UNKNOWN_TYPE for kind in cell_types}
        known = CELL_TYPES if kinds & set(CELL_TYPES) else ()
        ordered = [*known, *sorted(kinds - set(CELL_TYPES))]
        return cls(
            images=own,
            categories={name: number for number, name in enumerate(ordered, start=1)},
        )


def write_coco(
    path: Path | str, samples: Iterable[tuple[str, Sample]], numbers: CocoNumbers | None = None
) -> None:
    """Write annotated images as COCO, for Detectron2, mmdet and others.

    Parameters
    ----------
    path : path
    samples : iterable of (file name, Sample)
        Iterated once, with one image in memory. The masks keep their overlaps. Images without a
        cell type get the category ``cell``.
    numbers : CocoNumbers, optional
        Those of the whole data set, so that its files agree; by default those of `samples`.

    Raises
    ------
    DataError
        An image is not annotated, or there twice.

    Notes
    -----
    Run lengths are compressed and column-major; boxes are x, y, width, height.
    """
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    kinds: dict[str, str] = {}
    for file_name, sample in samples:
        masks = sample.masks
        if masks is None:
            raise DataError(f"image {sample.name} is not annotated")
        if sample.name in images:
            raise DataError(f"image {sample.name} appears twice")
        height, width = masks.shape
        images[sample.name] = {"file_name": file_name, "height": height, "width": width}
        kinds[sample.name] = sample.cell_type or UNKNOWN_TYPE
        areas, boxes = masks.areas.tolist(), _boxes(masks)
        for counts, area, box in zip(masks_to_counts(masks), areas, boxes, strict=True):
            annotations.append(
                {
                    "image_id": sample.name,
                    "segmentation": {"size": [height, width], "counts": counts},
                    "area": area,
                    "bbox": box,
                    "iscrowd": 0,
                }
            )
    numbers = numbers or CocoNumbers.of(images, kinds.values())
    content = {
        "images": [{"id": numbers.images[name], **image} for name, image in images.items()],
        "annotations": [
            {
                **one,
                "id": number,
                "image_id": numbers.images[one["image_id"]],
                "category_id": numbers.categories[kinds[one["image_id"]]],
            }
            for number, one in enumerate(annotations, start=1)
        ],
        "categories": [{"id": number, "name": name} for name, number in numbers.categories.items()],
    }
    write_text(path, json.dumps(content, ensure_ascii=False))


def _boxes(masks: CellMasks) -> list[list[int]]:
    """Give x, y, width, height of each cell."""
    width = masks.shape[1]
    if len(masks) == 0:
        return []
    first = masks.offsets[:-1]
    last_pixels = masks.starts + masks.lengths - 1
    top = masks.starts[first] // width
    bottom = np.maximum.reduceat(last_pixels, first) // width
    # A run that goes on into the next row reaches both edges of the image.
    wraps = masks.starts // width != last_pixels // width
    left = np.minimum.reduceat(np.where(wraps, 0, masks.starts % width), first)
    right = np.maximum.reduceat(np.where(wraps, width - 1, last_pixels % width), first)
    boxes = np.stack([left, top, right - left + 1, bottom - top + 1], axis=1)
    return [[int(number) for number in box] for box in boxes]
