"""What is wrong with a data set, or worth knowing, before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.independence import hash_images
from cellflow.data.rle import draw_cell
from cellflow.errors import DataError
from cellflow.records import CellMasks, Sample
from cellflow.telling import Report, ignore
from cellflow.wording import counted

TINY = 15
"""Pixels; smaller cells are dropped by Cellpose's default min_size."""

HUGE_SHARE = 0.4
"""Share of the image above which Cellpose drops a cell."""

UNKNOWN = "unknown"


@dataclass(slots=True)
class TypeFacts:
    """Counts over the cells of one cell type.

    Parameters
    ----------
    n_images, most_cells : int
        Images, and the largest number of cells in one.
    areas : list of int
        Pixels of each cell.
    n_overlapping, n_holes, n_parts, n_duplicates, n_tiny, n_huge : int
        Cells that share a pixel with another, have a hole, several parts, the same pixels as
        another, fewer than `TINY` pixels, or more than `HUGE_SHARE` of the image.
    """

    n_images: int = 0
    most_cells: int = 0
    areas: list[int] = field(default_factory=list)
    n_overlapping: int = 0
    n_holes: int = 0
    n_parts: int = 0
    n_duplicates: int = 0
    n_tiny: int = 0
    n_huge: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What `check_dataset` found.

    Parameters
    ----------
    problems : tuple of str
        What would stop or spoil a training run.
    remarks : tuple of str
        What is worth knowing.
    per_cell_type : dict of str to TypeFacts
    """

    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    per_cell_type: dict[str, TypeFacts]

    def table(self) -> str:
        """Give the facts as a table for reading."""
        lines = [
            "cell type  images  cells   most  area px: mean (min to max)  diameter  overlap  holes"
            "  parts  tiny"
        ]
        for kind, facts in self.per_cell_type.items():
            lines.append(_row(kind, facts))
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain values, for JSON."""
        return {
            "problems": list(self.problems),
            "remarks": list(self.remarks),
            "per_cell_type": {
                kind: {
                    "images": facts.n_images,
                    "cells": len(facts.areas),
                    "most_cells": facts.most_cells,
                    "mean_area": float(np.mean(facts.areas)) if facts.areas else None,
                    "overlapping": facts.n_overlapping,
                    "holes": facts.n_holes,
                    "several_parts": facts.n_parts,
                    "duplicates": facts.n_duplicates,
                    "tiny": facts.n_tiny,
                    "huge": facts.n_huge,
                }
                for kind, facts in self.per_cell_type.items()
            },
        }


def check_dataset(
    dataset: Dataset,
    report: Report = ignore,
    faults: Iterable[str] = (),
) -> DataReport:
    """Read every image and mask once, and say what is wrong.

    Parameters
    ----------
    dataset : Dataset
    report : callable
        Called with the number of images done.
    faults : iterable of str
        Broken annotations that were left out when the data set was opened.

    Notes
    -----
    Broken images and mask files are listed as problems; the others are still checked.
    """
    problems = list(faults)
    oddities: list[str] = []
    facts: defaultdict[str, TypeFacts] = defaultdict(TypeFacts)
    sizes: Counter[tuple[int, ...]] = Counter()
    for step, entry in enumerate(dataset, start=1):
        try:
            sample = entry.load()
        except DataError as error:
            problems.append(str(error))
        else:
            sizes[sample.image.shape[-2:]] += 1
            if sample.masks is not None:
                oddities += _examine(sample, sample.masks, facts[entry.cell_type or UNKNOWN])
        report(step, {"total": len(dataset)})
    if not dataset.annotated:
        problems.append(
            f"{dataset.root}: no image has truth, so that there is nothing to train on; "
            "prediction needs none"
        )
    remarks = [*dataset.remarks, *oddities, *_size_remarks(sizes), *_same_pixels(dataset.entries)]
    return DataReport(
        problems=tuple(problems), remarks=tuple(remarks), per_cell_type=dict(sorted(facts.items()))
    )


def _examine(sample: Sample, masks: CellMasks, facts: TypeFacts) -> list[str]:
    """Add an image's cells to the facts; return what is odd about them."""
    n_pixels = masks.shape[0] * masks.shape[1]
    areas = masks.areas
    facts.n_images += 1
    facts.most_cells = max(facts.most_cells, len(masks))
    facts.areas += areas.tolist()
    facts.n_tiny += int((areas < TINY).sum())
    huge = int((areas > HUGE_SHARE * n_pixels).sum())
    facts.n_huge += huge
    facts.n_overlapping += masks.n_overlapping
    duplicates = _count_duplicates(masks)
    facts.n_duplicates += duplicates
    for cell in range(len(masks)):
        mask = draw_cell(masks, cell)
        facts.n_parts += int(ndimage.label(mask, np.ones((3, 3)))[1] > 1)
        facts.n_holes += bool((ndimage.binary_fill_holes(mask) != mask).any())
    oddities = []
    if duplicates:
        oddities.append(f"image {sample.name}: drawn twice: {counted(duplicates, 'mask')}")
    if huge:
        oddities.append(
            f"image {sample.name}: larger than {HUGE_SHARE:.0%} of the image: "
            + counted(huge, "cell")
        )
    return oddities


def _count_duplicates(masks: CellMasks) -> int:
    """Count the cells with exactly the pixels of an earlier one."""
    seen = Counter(
        (masks.starts[a:b].tobytes(), masks.lengths[a:b].tobytes())
        for a, b in zip(masks.offsets[:-1], masks.offsets[1:], strict=True)
    )
    return sum(count - 1 for count in seen.values())


def _size_remarks(sizes: Counter[tuple[int, ...]]) -> list[str]:
    if len(sizes) < 2:
        return []
    parts = ", ".join(f"{count} of {'x'.join(map(str, s))}" for s, count in sizes.most_common(4))
    return [f"images differ in size: {parts}"]


def _same_pixels(entries: tuple[Entry, ...]) -> list[str]:
    by_hash: defaultdict[str, list[str]] = defaultdict(list)
    readable = [entry for entry in entries if entry.image_path.is_file()]
    for name, digest in hash_images(readable).items():
        by_hash[digest].append(name)
    return [f"the same picture: {', '.join(same)}" for same in by_hash.values() if len(same) > 1]


def _row(kind: str, facts: TypeFacts) -> str:
    n_cells = len(facts.areas)
    if n_cells == 0:
        return f"{kind:<9}  {facts.n_images:6d}  {0:5d}"
    areas = np.array(facts.areas)
    diameter = float(np.median(np.sqrt(areas)) * 2 / np.sqrt(np.pi))
    spread = f"{areas.mean():.0f} ({areas.min()} to {areas.max()})"
    shares = [facts.n_overlapping / n_cells, facts.n_holes / n_cells, facts.n_parts / n_cells]
    return (
        f"{kind:<9}  {facts.n_images:6d}  {n_cells:5d}  {facts.most_cells:5d}  {spread:<26}  "
        f"{diameter:5.1f} px  {shares[0]:7.1%}  {shares[1]:5.1%}  {shares[2]:5.1%}  "
        f"{facts.n_tiny:4d}"
    )
