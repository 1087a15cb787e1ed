"""Kaggle's run-length text and label images to `CellMasks` and back.

The text of one cell is ``start length start length …``: 1-based and **row-major** (runs go left to
right, then on to the next row). `CellMasks` is 0-based. COCO's column-major runs are `coco_rle`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.data.rle_kernels import (
    EMPTY,
    NOT_POSITIVE,
    ODD,
    OK,
    STRETCH,
    UNSORTED,
    check_runs,
    format_runs,
    label_range,
    list_changes,
    parse_numbers,
    sort_runs,
)
from cellflow.errors import LabelError, RleError
from cellflow.record_checks import checked_shape
from cellflow.records import CellMasks, Shape
from cellflow.wording import shortened


class CellRleError(RleError):
    """A broken run-length text, with the cell's index, so that readers can name the line.

    Parameters
    ----------
    cell : int
        Index of the text in the sequence that was given.
    reason : str
        What is wrong with it.
    """

    def __init__(self, cell: int, reason: str) -> None:
        super().__init__(f"cell {cell}: {reason}")
        self.cell = cell
        self.reason = reason

    def __reduce__(self) -> tuple[type["CellRleError"], tuple[int, str]]:
        """Make the error picklable, for loader processes."""
        return CellRleError, (self.cell, self.reason)


def rle_to_masks(runs: Sequence[str], shape: Sequence[int]) -> CellMasks:
    """Read the run-length texts of one image's cells.

    Parameters
    ----------
    runs : sequence of N str
        One text a cell, ``"start length start length …"``, 1-based, row-major.
    shape : (H, W)
        Pixels.

    Returns
    -------
    CellMasks
        The cells in the order given.

    Raises
    ------
    CellRleError
        A text is empty or no text, holds something else than positive whole numbers, has an odd
        count of them, has runs that descend or overlap, or leaves the image.
    RleError
        `runs` is a single text.
    LabelError
        `shape` is not two whole numbers.

    Notes
    -----
    Runs that touch (one begins where the last ended) are valid and become one run.

    Examples
    --------
    >>> masks = rle_to_masks(["1 2 5 2", "4 1"], (2, 4))
    >>> masks_to_dense(masks).astype(int)[0]
    array([[1, 1, 0, 0],
           [1, 1, 0, 0]])
    """
    shape = checked_shape(shape)
    if isinstance(runs, str):
        raise RleError("expected a list of run-length texts, one a cell, found a single text")
    runs = list(runs)
    if len(runs) == 0:
        return CellMasks.empty(shape)
    for cell, run in enumerate(runs):
        if not isinstance(run, str):
            raise CellRleError(cell, f"expected a run-length text, found {run!r}")
    whole = "\n".join(runs).encode("utf-8", "replace")  # what is replaced is no digit either
    text = np.frombuffer(whole, np.uint8)
    numbers = np.empty((len(text) + 1) // 2 + 1, np.int64)
    cell_ends = np.empty(whole.count(b"\n") + 1, np.int64)
    if len(cell_ends) != len(runs):
        cell = next(k for k, run in enumerate(runs) if "\n" in run)
        raise CellRleError(cell, "a line break inside the run-length text")
    status, cell = parse_numbers(text, numbers, cell_ends)
    if status != OK:
        raise CellRleError(
            cell, f"expected whole numbers of at most 18 digits, found {shortened(runs[cell])!r}"
        )
    n_runs = int(cell_ends[-1]) // 2
    starts, lengths = np.empty(n_runs, np.int64), np.empty(n_runs, np.int32)
    offsets = np.zeros(len(runs) + 1, np.int64)
    status, cell, at = check_runs(numbers, cell_ends, shape[0] * shape[1], starts, lengths, offsets)
    if status != OK:
        raise CellRleError(cell, _reason(status, numbers, cell_ends, cell, at, shape))
    kept = int(offsets[-1])
    return CellMasks.of_valid_runs(starts[:kept], lengths[:kept], offsets, shape)


def readable_masks(
    runs: Sequence[str], shape: Shape
) -> tuple[CellMasks, list[int], list[CellRleError]]:
    """Read those run-length texts of one image's cells that are valid.

    Parameters
    ----------
    runs, shape
        As for `rle_to_masks`.

    Returns
    -------
    CellMasks
        The cells whose text is valid, in the order given.
    list of int
        Their indices in `runs`.
    list of CellRleError
        The faults of the others.
    """
    try:
        return rle_to_masks(runs, shape), list(range(len(runs))), []
    except CellRleError:
        pass  # At least one is broken; find out which, one by one.
    kept, faults = [], []
    for cell, text in enumerate(runs):
        try:
            rle_to_masks([text], shape)
        except CellRleError as error:
            faults.append(CellRleError(cell, error.reason))
        else:
            kept.append(cell)
    return rle_to_masks([runs[cell] for cell in kept], shape), kept, faults


def masks_to_rle(masks: CellMasks) -> list[str]:
    """Write each cell as run-length text; the inverse of `rle_to_masks`.

    Returns
    -------
    list of N str
    """
    return _runs_to_text(masks.starts, masks.lengths, masks.offsets, masks.shape)


def labels_to_masks(labels: NDArray[Any]) -> CellMasks:
    """Give one mask for every label of a label image, by ascending label.

    Parameters
    ----------
    labels : (H, W) integer or bool
        0 is background. Gaps between the labels are allowed; the masks are numbered without.

    Raises
    ------
    LabelError
        Not a 2-D array of whole numbers, or a negative label.
    """
    labels = np.asarray(labels)
    starts, lengths, offsets = _label_runs(labels)
    return CellMasks.of_valid_runs(starts, lengths, offsets, (labels.shape[0], labels.shape[1]))


def labels_to_rle(labels: NDArray[Any]) -> list[str]:
    """Write every label of a label image as Kaggle run-length text, by ascending label.

    Parameters
    ----------
    labels : (H, W) integer or bool
        0 is background.

    Returns
    -------
    list of str
        One text a label: 1-based, row-major.

    Raises
    ------
    LabelError
        As `labels_to_masks`.

    Examples
    --------
    >>> labels_to_rle(np.array([[1, 1, 0, 2],
    ...                         [1, 1, 0, 2]]))
    ['1 2 5 2', '4 1 8 1']
    """
    labels = np.asarray(labels)
    return _runs_to_text(*_label_runs(labels), (labels.shape[0], labels.shape[1]))


def dense_to_masks(stack: NDArray[np.bool_]) -> CellMasks:
    """Give the masks of a dense stack.

    Parameters
    ----------
    stack : (N, H, W) bool
        Each mask has at least one pixel.

    Raises
    ------
    LabelError
        A mask has no pixel.
    """
    height, width = stack.shape[1:]
    padded = np.zeros((len(stack), height * width + 2), np.int8)
    padded[:, 1:-1] = np.asarray(stack, np.bool_).reshape(len(stack), height * width)
    edges = np.diff(padded, axis=1)
    cells, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    offsets = np.searchsorted(cells, np.arange(len(stack) + 1))
    return CellMasks(
        starts=starts.astype(np.int64),
        lengths=(ends - starts).astype(np.int32),
        offsets=offsets.astype(np.int64),
        shape=(height, width),
    )


def masks_to_dense(masks: CellMasks) -> NDArray[np.bool_]:
    """Give a dense (N, H, W) bool stack; for few cells or small images, since it is large."""
    stack = np.zeros((len(masks), masks.shape[0] * masks.shape[1]), np.bool_)
    for cell in range(len(masks)):
        for run in range(masks.offsets[cell], masks.offsets[cell + 1]):
            start = masks.starts[run]
            stack[cell, start : start + masks.lengths[run]] = True
    return stack.reshape(len(masks), *masks.shape)


def draw_cell(masks: CellMasks, cell: int, *, margin: int = 0) -> NDArray[np.bool_]:
    """Give the picture of one cell, cut to its bounding box.

    Parameters
    ----------
    masks : CellMasks
    cell : int
        Index of the cell.
    margin : int
        Pixels of background around the box, as far as the image goes on.

    Returns
    -------
    (h, w) bool

    Examples
    --------
    >>> draw_cell(labels_to_masks(np.array([[0, 1, 1, 0]])), 0, margin=1)
    array([[False,  True,  True, False]])
    """
    height, width = masks.shape
    own = slice(masks.offsets[cell], masks.offsets[cell + 1])
    starts, ends = masks.starts[own], masks.starts[own] + masks.lengths[own]
    top = max(0, int(starts[0]) // width - margin)
    bottom = min(height, (int(ends[-1]) - 1) // width + 1 + margin)
    flat = np.zeros((bottom - top) * width, np.bool_)
    for start, end in zip(starts - top * width, ends - top * width, strict=True):
        flat[start:end] = True
    rows = flat.reshape(bottom - top, width)
    columns = np.flatnonzero(rows.any(axis=0))
    return rows[:, max(0, columns[0] - margin) : columns[-1] + 1 + margin]


_RunArrays = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]
"""Starts, lengths and offsets as in `CellMasks`."""


def _runs_to_text(
    starts: NDArray[np.int64], lengths: NDArray[np.int32], offsets: NDArray[np.int64], shape: Shape
) -> list[str]:
    if len(starts) == 0:
        return []
    digits = len(str(shape[0] * shape[1]))
    text = np.empty(len(starts) * 2 * (digits + 1), np.uint8)
    ends = np.empty(len(offsets) - 1, np.int64)
    format_runs(starts, lengths, offsets, text, ends)
    whole = text[: ends[-1]].tobytes().decode("ascii")
    return [whole[a : b - 1] for a, b in itertools.pairwise([0, *ends.tolist()])]


def _label_runs(labels: NDArray[Any]) -> _RunArrays:
    """Give the runs of a label image by ascending label; see `labels_to_masks`."""
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise LabelError(
            f"labels: expected a 2-D array of whole numbers, found {labels.ndim}-D {labels.dtype}"
        )
    flat = _as_int32(labels).reshape(-1)
    bounds = _run_bounds(flat)
    smallest, largest = label_range(flat, bounds)
    if smallest < 0:
        raise LabelError(f"labels: expected 0 or more, found {smallest}")
    if largest > labels.size:
        # Tables as long as the largest label would not fit into memory.
        return _label_runs(_numbered(labels))
    runs: _RunArrays = sort_runs(flat, bounds, largest)
    return runs


def _as_int32(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Give C-contiguous int32; labels that do not fit are numbered."""
    if not np.can_cast(labels.dtype, np.int32) and labels.size:
        if labels.min() < 0:
            raise LabelError(f"labels: expected 0 or more, found {labels.min()}")
        if labels.max() > np.iinfo(np.int32).max:
            labels = _numbered(labels)
    return np.ascontiguousarray(labels, np.int32)


def _numbered(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Give numbers from 1 by ascending label; background stays 0."""
    values, numbers = np.unique(labels, return_inverse=True)
    first = int(values[0] != 0)
    return np.ascontiguousarray(numbers.reshape(labels.shape) + first, np.int32)


def _run_bounds(flat: NDArray[np.int32]) -> NDArray[np.int64]:
    """Give where each run of equal labels begins, background too, and the number of pixels."""
    if flat.size == 0:
        return np.zeros(1, np.int64)
    bounds = np.empty(flat.size // 16 + 2 * STRETCH, np.int64)
    bounds[0] = 0
    first, n = list_changes(flat, 1, bounds, 1)
    while first < flat.size:
        bounds = np.concatenate([bounds, np.empty_like(bounds)])
        first, n = list_changes(flat, first, bounds, n)
    if n == len(bounds):
        bounds = np.append(bounds, 0)
    bounds[n] = flat.size
    return bounds[: n + 1]


def _reason(
    status: int,
    numbers: NDArray[np.int64],
    cell_ends: NDArray[np.int64],
    cell: int,
    at: int,
    shape: Shape,
) -> str:
    """Put what `check_runs` found into words; `at` is the index of the run's start in `numbers`."""
    first = int(cell_ends[cell - 1]) if cell else 0
    if status == EMPTY:
        return "the run-length text is empty"
    if status == ODD:
        return f"an odd count of numbers ({int(cell_ends[cell]) - first}); they come in pairs"
    run = f"run {numbers[at]}+{numbers[at + 1]}"
    if status == NOT_POSITIVE:
        return f"{run} must start at 1 or more and have a length of 1 or more"
    if status == UNSORTED:
        return f"{run} starts before the end of the run {numbers[at - 2]}+{numbers[at - 1]}"
    return f"{run} ends outside a {shape[1]}x{shape[0]} image"
