"""Kaggle's run-length text and label images to `CellMasks` and back.

The text of one cell is ``start length start length …``: 1-based and **row-major** (runs go left to
right, then on to the next row). `CellMasks` is 0-based. COCO's column-major runs are `coco_rle`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.errors import LabelError, RleError
from cellflow.records import CellMasks, Shape

_SPACE, _NEWLINE, _ZERO, _NINE, _MINUS = (ord(sign) for sign in " \n09-")

_OK, _NOT_A_NUMBER, _ODD, _EMPTY, _NOT_POSITIVE, _UNSORTED, _OUTSIDE = range(7)


class CellRleError(RleError):
    """A broken run-length text, with the number of the cell, so that a reader can add the line.

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


def rle_to_masks(runs: Sequence[str], shape: Shape) -> CellMasks:
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
        A text is empty, holds something else than positive whole numbers, has an odd count of
        them, has runs that descend or overlap, or leaves the image.

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
    if len(runs) == 0:
        return CellMasks.empty(shape)
    text = np.frombuffer("\n".join(runs).encode("utf-8"), np.uint8)
    numbers = np.empty((len(text) + 1) // 2 + 1, np.int64)
    cell_ends = np.empty(text.tobytes().count(b"\n") + 1, np.int64)
    if len(cell_ends) != len(runs):
        cell = next(k for k, run in enumerate(runs) if "\n" in run)
        raise CellRleError(cell, "a line break inside the run-length text")
    status, cell = _parse(text, numbers, cell_ends)
    if status != _OK:
        raise CellRleError(cell, f"not a whole number in {_shorten(runs[cell])!r}")
    n_runs = int(cell_ends[-1]) // 2
    starts, lengths = np.empty(n_runs, np.int64), np.empty(n_runs, np.int32)
    offsets = np.zeros(len(runs) + 1, np.int64)
    status, cell, at = _check(numbers, cell_ends, shape[0] * shape[1], starts, lengths, offsets)
    if status != _OK:
        raise CellRleError(cell, _reason(status, numbers, cell_ends, cell, at, shape))
    kept = int(offsets[-1])
    return CellMasks(starts=starts[:kept], lengths=lengths[:kept], offsets=offsets, shape=shape)


def masks_to_rle(masks: CellMasks) -> list[str]:
    """Write each cell as run-length text; the inverse of `rle_to_masks`.

    Returns
    -------
    list of N str
    """
    if len(masks) == 0:
        return []
    digits = len(str(masks.shape[0] * masks.shape[1]))
    text = np.empty(len(masks.starts) * 2 * (digits + 1), np.uint8)
    ends = np.empty(len(masks), np.int64)
    _format(masks.starts, masks.lengths, masks.offsets, text, ends)
    whole = text[: ends[-1]].tobytes().decode("ascii")
    return [whole[a : b - 1] for a, b in itertools.pairwise([0, *ends.tolist()])]


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
    flat, n_labels = _dense_labels(labels)
    counts = np.zeros(n_labels + 1, np.int64)
    _count_runs(flat, counts)
    present = np.flatnonzero(counts[1:]) + 1
    offsets = np.concatenate([[0], np.cumsum(counts[present])]).astype(np.int64)
    next_run = np.zeros(n_labels + 1, np.int64)
    next_run[present] = offsets[:-1]
    starts, lengths = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.int32)
    _fill_runs(flat, next_run, starts, lengths)
    height, width = labels.shape
    return CellMasks(starts=starts, lengths=lengths, offsets=offsets, shape=(height, width))


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
    return masks_to_rle(labels_to_masks(labels))


def dense_to_masks(stack: NDArray[np.bool_]) -> CellMasks:
    """Give the masks of a dense stack.

    Parameters
    ----------
    stack : (N, H, W) bool
        Each mask has at least one pixel.
    """
    height, width = stack.shape[1:]
    padded = np.zeros((len(stack), height * width + 2), np.int8)
    padded[:, 1:-1] = stack.reshape(len(stack), height * width)
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


def _dense_labels(labels: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Give the labels flattened to int32 and their largest value, at most the pixel count."""
    if labels.ndim != 2 or labels.dtype.kind not in "iub":
        raise LabelError(
            f"labels: expected a 2-D array of whole numbers, found {labels.ndim}-D {labels.dtype}"
        )
    if labels.size and labels.min() < 0:
        raise LabelError(f"labels: expected 0 or more, found {labels.min()}")
    largest = int(labels.max(initial=0))
    if largest > labels.size:
        values, inverse = np.unique(labels, return_inverse=True)
        # Without background the smallest value is a cell, not 0.
        labels = inverse.reshape(labels.shape) + (values[0] != 0)
        largest = int(labels.max())
    return np.ascontiguousarray(labels, np.int32).reshape(-1), largest


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _reason(
    status: int,
    numbers: NDArray[np.int64],
    cell_ends: NDArray[np.int64],
    cell: int,
    at: int,
    shape: Shape,
) -> str:
    """Put what `_check` found into words; `at` is the index of the run's start in `numbers`."""
    first = int(cell_ends[cell - 1]) if cell else 0
    if status == _EMPTY:
        return "the run-length text is empty"
    if status == _ODD:
        return f"an odd count of numbers ({int(cell_ends[cell]) - first}); they come in pairs"
    run = f"run {numbers[at]}+{numbers[at + 1]}"
    if status == _NOT_POSITIVE:
        return f"{run} must start at 1 or more and have a length of 1 or more"
    if status == _UNSORTED:
        return f"{run} starts before the end of the run {numbers[at - 2]}+{numbers[at - 1]}"
    return f"{run} ends outside a {shape[1]}x{shape[0]} image"


@njit(cache=True, nogil=True)
def _parse(text, numbers, cell_ends):  # type: ignore[no-untyped-def]
    """Read whole numbers from `text`; `cell_ends[k]` is the count of numbers up to line k."""
    n_numbers, cell, value, digits, sign = 0, 0, 0, 0, 1
    for index in range(len(text) + 1):
        code = text[index] if index < len(text) else _NEWLINE
        if _ZERO <= code <= _NINE:
            value = value * 10 + (code - _ZERO)
            digits += 1
            if digits > 18:
                return _NOT_A_NUMBER, cell
            continue
        if code == _MINUS and digits == 0 and sign == 1:
            sign = -1
            continue
        if code != _SPACE and code != _NEWLINE:
            return _NOT_A_NUMBER, cell
        if digits > 0:
            numbers[n_numbers] = sign * value
            n_numbers += 1
        elif sign < 0:
            return _NOT_A_NUMBER, cell
        value, digits, sign = 0, 0, 1
        if code == _NEWLINE:
            cell_ends[cell] = n_numbers
            cell += 1
    return _OK, 0


@njit(cache=True, nogil=True)
def _check(numbers, cell_ends, n_pixels, starts, lengths, offsets):  # type: ignore[no-untyped-def]
    """Copy valid runs, joining those that touch; or give the fault, its cell and its place."""
    n_runs, first = 0, 0
    for cell in range(len(cell_ends)):
        end = cell_ends[cell]
        if end == first:
            return _EMPTY, cell, first
        if (end - first) % 2:
            return _ODD, cell, first
        last_end = np.int64(-1)
        for at in range(first, end, 2):
            start, length = numbers[at] - 1, numbers[at + 1]
            if start < 0 or length < 1:
                return _NOT_POSITIVE, cell, at
            if start < last_end:
                return _UNSORTED, cell, at
            if start > n_pixels or length > n_pixels - start:
                return _OUTSIDE, cell, at
            if start == last_end:
                lengths[n_runs - 1] += length
            else:
                starts[n_runs] = start
                lengths[n_runs] = length
                n_runs += 1
            last_end = start + length
        offsets[cell + 1] = n_runs
        first = end
    return _OK, 0, 0


@njit(cache=True, nogil=True)
def _write_number(value, text, at):  # type: ignore[no-untyped-def]
    """Write `value` >= 1 in decimal at `text[at:]`; give the place behind it."""
    digits, rest = 0, value
    while rest > 0:
        digits += 1
        rest //= 10
    for place in range(at + digits - 1, at - 1, -1):
        text[place] = _ZERO + value % 10
        value //= 10
    return at + digits


@njit(cache=True, nogil=True)
def _format(starts, lengths, offsets, text, ends):  # type: ignore[no-untyped-def]
    """Write the cells behind each other; every number is followed by one separator."""
    at = 0
    for cell in range(len(offsets) - 1):
        for run in range(offsets[cell], offsets[cell + 1]):
            at = _write_number(starts[run] + 1, text, at)
            text[at] = _SPACE
            at = _write_number(np.int64(lengths[run]), text, at + 1)
            text[at] = _SPACE
            at += 1
        ends[cell] = at


@njit(cache=True, nogil=True)
def _count_runs(flat, counts):  # type: ignore[no-untyped-def]
    """Count the runs of each label; background is counted too and not used."""
    previous = 0
    for label in flat:
        if label != previous:
            counts[label] += 1
            previous = label


@njit(cache=True, nogil=True)
def _fill_runs(flat, next_run, starts, lengths):  # type: ignore[no-untyped-def]
    """Write the runs of each label from `next_run[label]` on."""
    index, n_pixels = 0, len(flat)
    while index < n_pixels:
        label, start = flat[index], index
        while index < n_pixels and flat[index] == label:
            index += 1
        if label > 0:
            run = next_run[label]
            starts[run] = start
            lengths[run] = index - start
            next_run[label] = run + 1
