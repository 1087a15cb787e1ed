"""Submission files: ``id,predicted``, one row a cell, an empty ``predicted`` for an empty image."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.data.rle import labels_to_rle, masks_to_rle, readable_masks
from cellflow.data.run_order import border_votes, direction_votes
from cellflow.data.tables import open_table, write_table
from cellflow.errors import LabelError, SubmissionError
from cellflow.records import CellMasks, Shape
from cellflow.wording import counted

COLUMNS = ("id", "predicted")
COMPETITION_SHAPE: Shape = (520, 704)
"""Height and width of every image of the Sartorius competition, pixels."""

Shapes = Mapping[str, Shape] | Shape
"""One shape for all images, or one an image."""

FEWEST_SHIFTED_RUNS = 3
"""Runs at the border that must suggest counting from 0 before a problem is reported."""


def read_submission(
    path: Path | str, shapes: Shapes = COMPETITION_SHAPE, *, allow_overlap: bool = False
) -> dict[str, CellMasks]:
    """Read a submission, by the competition's own rules.

    Parameters
    ----------
    path : path
        Columns ``id`` and ``predicted``; UTF-8 with or without BOM, any line ends.
    shapes : (H, W), or mapping of image name to (H, W)
        Pixels. The cells of images that a mapping lacks are not read, since their size is unknown:
        such an image is given without cells, with size 1x1.
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
        shape = _shape_of(shapes, image.name)
        if shape is None:
            masks[image.name] = CellMasks.empty((1, 1))
            continue
        found, faults = _decode_image(image, shape, allow_overlap)
        if faults:
            raise SubmissionError(f"{path} {faults[0]}")
        masks[image.name] = found
    return masks


def write_submission(
    path: Path | str,
    images: Mapping[str, CellMasks | NDArray[Any]] | Iterable[tuple[str, CellMasks | NDArray[Any]]],
) -> None:
    """Write a submission; every image gets at least one row.

    Parameters
    ----------
    path : path
        Replaced only when all is written.
    images : mapping, or iterable of pairs, of image name to CellMasks or (H, W) label image
        Label images of any tool, 0 = background. Masks of one image must not overlap;
        `check_submission` tells. Iterated once.

    Raises
    ------
    LabelError
        The cells of an image are neither; the message names it.
    DataError
        The file cannot be written.
    """
    pairs = images.items() if isinstance(images, Mapping) else images
    rows = ((name, runs) for name, cells in pairs for runs in _run_texts(name, cells) or [""])
    write_table(path, COLUMNS, rows)


def _run_texts(name: str, cells: CellMasks | NDArray[Any]) -> list[str]:
    try:
        return masks_to_rle(cells) if isinstance(cells, CellMasks) else labels_to_rle(cells)
    except LabelError as error:
        raise LabelError(f"image {name}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionReport:
    """What `check_submission` found.

    Parameters
    ----------
    n_images, n_cells : int
        Images in the file, and cells that could be read, or were not checked.
    problems : tuple of str
        Broken rules, one sentence each with its line; empty if the competition would accept it.
    remarks : tuple of str
        What is allowed but worth knowing.
    """

    n_images: int
    n_cells: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line: what is in the file, and how many rules it breaks."""
        verdict = counted(len(self.problems), "problem") if self.problems else "no problems"
        found = f"{counted(self.n_images, 'image')}, {counted(self.n_cells, 'cell')}"
        return f"{found}: {verdict}"


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
        Pixels. The cells of images that a mapping lacks are counted but not checked.
    expected : iterable of str, optional
        The images that the file must cover.

    Raises
    ------
    DataError
        The file cannot be read, or lacks a column.

    Notes
    -----
    A transposed (column-major) file is recognised by the distance between the starts of a cell's
    consecutive runs: about the width of the image when runs follow rows, about its height when
    they follow columns. Square images cannot be told apart this way.

    A file that counts pixels from 0 is recognised at the borders: the runs of cells at the left
    border then begin in the last column of the row above and go on over the row's end, and no run
    stops at the right border. Without a cell at the left border it is not recognised.
    """
    images = _read_images(Path(path))
    problems, remarks = [], []
    direction, border = np.zeros(2, np.int64), np.zeros(2, np.int64)
    n_cells = 0
    for image in images:
        shape = _shape_of(shapes, image.name)
        if shape is None:
            n_cells += len(image.runs)
            continue
        masks, faults = _decode_image(image, shape, allow_overlap=False)
        problems += faults
        direction += direction_votes(masks)
        border += border_votes(masks)
        n_cells += len(masks)
    problems = _order_problems(direction, border) + problems
    if expected is not None:
        problems += _coverage({image.name for image in images}, set(expected))
    n_empty = sum(not image.runs for image in images)
    if n_empty:
        remarks.append(f"no cell in {n_empty} of {counted(len(images), 'image')}")
    return SubmissionReport(
        n_images=len(images), n_cells=n_cells, problems=tuple(problems), remarks=tuple(remarks)
    )


def _order_problems(direction: NDArray[np.int64], border: NDArray[np.int64]) -> list[str]:
    """Give the problem that the votes of all images show, or none."""
    if direction[1] > direction[0]:
        share = direction[1] / direction.sum()
        return [
            f"the run lengths are transposed: {share:.0%} of consecutive runs begin one column "
            "apart, not one row; the competition's order is row-major (left to right, then down)"
        ]
    if border[1] > border[0] and border[1] >= FEWEST_SHIFTED_RUNS:
        return [
            f"the run lengths seem to count pixels from 0: {border[1]} runs cross the end of a "
            f"row and {border[0]} stop there; the competition counts from 1"
        ]
    return []


@dataclass(slots=True)
class _Image:
    """Rows of one image: texts of its cells and their lines; `empty_line` is 0 for none."""

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
            runs = row["predicted"].strip()
            if runs:
                image.runs.append(runs)
                image.lines.append(table.line_num)
            else:
                image.empty_line = table.line_num
    if not images:
        raise SubmissionError(f"{path}: no rows below the header; every image needs at least one")
    return list(images.values())


def _shape_of(shapes: Shapes, name: str) -> Shape | None:
    return shapes.get(name) if isinstance(shapes, Mapping) else shapes


def _decode_image(image: _Image, shape: Shape, allow_overlap: bool) -> tuple[CellMasks, list[str]]:
    """Give the cells that can be read and the faults of the others."""
    faults = []
    if image.empty_line and image.runs:
        faults.append(
            f"line {image.empty_line}: image {image.name} has an empty row and "
            + counted(len(image.runs), "cell")
        )
    masks, kept, broken = readable_masks(image.runs, shape)
    lines = [image.lines[cell] for cell in kept]
    faults += [
        f"line {image.lines[error.cell]}: image {image.name}: {error.reason}" for error in broken
    ]
    if not allow_overlap:
        owner = np.zeros(shape[0] * shape[1], np.int32)
        others, pixels = _find_overlaps(masks.starts, masks.lengths, masks.offsets, owner)
        faults += [
            f"line {lines[cell]}: image {image.name}: pixel {pixels[cell] + 1} also belongs to "
            f"the cell in line {lines[others[cell]]}; cells must not overlap"
            for cell in np.flatnonzero(others >= 0)
        ]
    return masks, faults


def _coverage(found: set[str], expected: set[str]) -> list[str]:
    problems = [f"image {name} has no row" for name in sorted(expected - found)]
    problems += [f"image {name} is not one of the images" for name in sorted(found - expected)]
    return problems


@njit(cache=True, nogil=True)
def _find_overlaps(starts, lengths, offsets, owner):  # type: ignore[no-untyped-def]
    """Give for each cell an earlier one that it shares a pixel with, or -1, and that pixel."""
    n_cells = len(offsets) - 1
    others, pixels = np.full(n_cells, -1, np.int64), np.full(n_cells, -1, np.int64)
    for cell in range(n_cells):
        for run in range(offsets[cell], offsets[cell + 1]):
            for pixel in range(starts[run], starts[run] + lengths[run]):
                if owner[pixel] == 0:
                    owner[pixel] = cell + 1
                elif others[cell] < 0:
                    others[cell] = owner[pixel] - 1
                    pixels[cell] = pixel
    return others, pixels
