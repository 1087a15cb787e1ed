"""Submission files: ``id,predicted``, one row a cell, an empty ``predicted`` for an empty image."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.atomic import atomic_path
from cellflow.data.kaggle import open_table
from cellflow.data.rle import CellRleError, masks_to_rle, rle_to_masks
from cellflow.errors import SubmissionError
from cellflow.records import CellMasks, Shape

COLUMNS = ("id", "predicted")
COMPETITION_SHAPE: Shape = (520, 704)
"""Height and width of every image of the Sartorius competition, pixels."""

Shapes = Mapping[str, Shape] | Shape
"""One shape for all images, or one an image."""

NEAR_A_LINE = 30
"""Two runs begin one row (or column) apart when their distance is this close to it, pixels."""


def read_submission(
    path: Path | str, shapes: Shapes = COMPETITION_SHAPE, *, allow_overlap: bool = False
) -> dict[str, CellMasks]:
    """Read a submission, by the competition's own rules.

    Parameters
    ----------
    path : path
        Columns ``id`` and ``predicted``; UTF-8 with or without BOM, any line ends.
    shapes : (H, W), or mapping of image name to (H, W)
        Pixels. Images that the mapping does not have are taken as `COMPETITION_SHAPE`.
    allow_overlap : bool
        Whether cells of one image may share pixels; the competition refuses that.

    Returns
    -------
    dict of image name to CellMasks
        In the order of first appearance; an image with an empty ``predicted`` has no cells.

    Raises
    ------
    DataError
        The file cannot be read, or lacks a column.
    SubmissionError
        The first broken rule, with its line.
    """
    path = Path(path)
    masks = {}
    for image in _read_images(path):
        found, faults = _decode_image(image, _shape_of(shapes, image.name), allow_overlap)
        if faults:
            raise SubmissionError(f"{path} {faults[0]}")
        masks[image.name] = found
    return masks


def write_submission(path: Path | str, images: Iterable[tuple[str, CellMasks]]) -> None:
    """Write a submission; every image gets at least one row.

    Parameters
    ----------
    path : path
        Replaced only when all is written.
    images : iterable of (name, CellMasks)
        Cells of one image must not overlap; `check_submission` tells.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, masks in images:
            writer.writerows((name, runs) for runs in masks_to_rle(masks) or [""])


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionReport:
    """What `check_submission` found.

    Parameters
    ----------
    n_images, n_cells : int
        Images in the file, and cells that could be read.
    problems : tuple of str
        Broken rules, one sentence each with its line; empty when the competition would accept.
    remarks : tuple of str
        What is allowed but worth knowing.
    """

    n_images: int
    n_cells: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def check_submission(
    path: Path | str,
    shapes: Shapes = COMPETITION_SHAPE,
    expected: Iterable[str] | None = None,
) -> SubmissionReport:
    """Apply every rule of the competition, and list all that is broken.

    Parameters
    ----------
    path : path
    shapes : (H, W), or mapping of image name to (H, W)
        As for `read_submission`.
    expected : iterable of str, optional
        The images that the file has to cover.

    Raises
    ------
    DataError
        The file cannot be read, or lacks a column.

    Notes
    -----
    A transposed (column-major) file is recognised by the distance between the starts of a cell's
    consecutive runs: about the width of the image when runs follow rows, about its height when
    they follow columns. Square images cannot be told apart this way.
    """
    images = _read_images(Path(path))
    problems, remarks = [], []
    votes = np.zeros(2, np.int64)
    n_cells = 0
    for image in images:
        shape = _shape_of(shapes, image.name)
        votes += _direction_votes(image.runs, shape)
        masks, faults = _decode_image(image, shape, allow_overlap=False)
        problems += faults
        n_cells += len(masks)
    if votes[1] > votes[0]:
        share = votes[1] / votes.sum()
        problems.insert(
            0,
            f"the run lengths are transposed: {share:.0%} of consecutive runs begin one column "
            "apart, not one row; the competition's order is row-major (left to right, then down)",
        )
    if expected is not None:
        problems += _coverage({image.name for image in images}, set(expected))
    n_empty = sum(not image.runs for image in images)
    if n_empty:
        remarks.append(f"{n_empty} of {len(images)} images have no cell")
    return SubmissionReport(
        n_images=len(images), n_cells=n_cells, problems=tuple(problems), remarks=tuple(remarks)
    )


@dataclass(slots=True)
class _Image:
    """Rows of one image: texts of its cells and their lines; `empty_line` is 0 when none."""

    name: str
    runs: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    empty_line: int = 0


def _read_images(path: Path) -> list[_Image]:
    images: dict[str, _Image] = {}
    with open_table(path, COLUMNS) as table:
        for row in table:
            name = row["id"]
            if not name:
                raise SubmissionError(f"{path} line {table.line_num}: the id is empty")
            image = images.setdefault(name, _Image(name))
            runs = (row["predicted"] or "").strip()
            if runs:
                image.runs.append(runs)
                image.lines.append(table.line_num)
            else:
                image.empty_line = table.line_num
    if not images:
        raise SubmissionError(f"{path}: no rows below the header; every image needs at least one")
    return list(images.values())


def _shape_of(shapes: Shapes, name: str) -> Shape:
    if isinstance(shapes, Mapping):
        return shapes.get(name, COMPETITION_SHAPE)
    return shapes


def _decode_image(image: _Image, shape: Shape, allow_overlap: bool) -> tuple[CellMasks, list[str]]:
    """Give the cells that can be read and the faults of the others."""
    faults = []
    if image.empty_line and image.runs:
        faults.append(
            f"line {image.empty_line}: image {image.name} has an empty row and "
            f"{len(image.runs)} cells"
        )
    runs, lines = list(image.runs), list(image.lines)
    while True:
        try:
            masks = rle_to_masks(runs, shape)
            break
        except CellRleError as error:
            faults.append(f"line {lines[error.cell]}: image {image.name}: {error.reason}")
            del runs[error.cell], lines[error.cell]
    if not allow_overlap:
        owner = np.zeros(shape[0] * shape[1], np.int32)
        first, second, pixel = _first_overlap(masks.starts, masks.lengths, masks.offsets, owner)
        if first >= 0:
            faults.append(
                f"line {lines[second]}: image {image.name}: pixel {pixel + 1} belongs also to the "
                f"cell of line {lines[first]}; cells must not overlap"
            )
    return masks, faults


def _coverage(found: set[str], expected: set[str]) -> list[str]:
    problems = [f"image {name} has no row" for name in sorted(expected - found)]
    problems += [f"image {name} is not one of the images" for name in sorted(found - expected)]
    return problems


def _direction_votes(runs: list[str], shape: Shape) -> NDArray[np.int64]:
    """Count the steps between consecutive runs that look like one row, and like one column."""
    votes = np.zeros(2, np.int64)
    if abs(shape[0] - shape[1]) <= 2 * NEAR_A_LINE:
        return votes
    for text in runs:
        numbers = np.array([int(n) for n in text.split() if n.isdecimal() and len(n) < 18])
        steps = np.diff(numbers[::2])
        votes[0] += (abs(steps - shape[1]) <= NEAR_A_LINE).sum()
        votes[1] += (abs(steps - shape[0]) <= NEAR_A_LINE).sum()
    return votes


@njit(cache=True, nogil=True)
def _first_overlap(starts, lengths, offsets, owner):  # type: ignore[no-untyped-def]
    """Give two cells that share a pixel, and the pixel; -1 when there are none."""
    for cell in range(len(offsets) - 1):
        for run in range(offsets[cell], offsets[cell + 1]):
            for pixel in range(starts[run], starts[run] + lengths[run]):
                if owner[pixel] > 0:
                    return owner[pixel] - 1, cell, pixel
                owner[pixel] = cell + 1
    return -1, -1, -1
