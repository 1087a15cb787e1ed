"""COCO's run lengths (column-major, counts) to `CellMasks` and back.

COCO writes a mask as counts of alternating background and mask pixels, going down the columns,
either as a list of integers or as a compressed string. `CellMasks` goes along the rows.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.errors import RleError
from cellflow.records import CellMasks, Shape

Runs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Starts and ends of the runs of one cell, column-major and 0-based; may overlap."""


def decode_counts(text: str) -> NDArray[np.int64]:
    """Give the counts that a compressed string stands for.

    Parameters
    ----------
    text : str
        Five bits a character, offset 48, low bits first; a sixth bit says that more follow. From
        the fourth count on the difference to the count before the last is stored.

    Returns
    -------
    (K,) int64

    Raises
    ------
    RleError
        A character outside the code's 64, or an end in the middle of a number.

    Examples
    --------
    >>> decode_counts("232")
    array([2, 3, 2])
    """
    codes = np.frombuffer(text.encode("utf-8"), np.uint8)
    counts = np.empty(len(codes), np.int64)
    n_counts = _decode(codes, counts)
    if n_counts < 0:
        raise RleError(f"compressed RLE is broken at its character {-n_counts}")
    return counts[:n_counts]


def encode_counts(counts: NDArray[np.int64]) -> str:
    """Give the compressed string of `counts`; the inverse of `decode_counts`.

    Parameters
    ----------
    counts : (K,) int64

    Examples
    --------
    >>> encode_counts(np.array([2, 3, 2]))
    '232'
    """
    counts = np.ascontiguousarray(counts, np.int64)
    codes = np.empty(13 * len(counts), np.uint8)  # 64 bits take at most 13 characters
    return codes[: _encode(counts, codes)].tobytes().decode("ascii")


def counts_to_runs(counts: str | Sequence[int], shape: Shape) -> Runs:
    """Give the column-major runs of one cell.

    Parameters
    ----------
    counts : str or sequence of int
        Compressed, or as numbers.
    shape : (H, W)

    Returns
    -------
    starts, ends : (R,) int64
        Empty runs are left out.

    Raises
    ------
    RleError
        A broken string, a negative count, or counts that do not fill the image exactly.
    """
    numbers = decode_counts(counts) if isinstance(counts, str) else _as_integers(counts)
    edges = np.empty((2, len(numbers) // 2), np.int64)
    expected = shape[0] * shape[1]
    most = numbers.max(initial=0)
    if most > expected:  # the sum of such counts may go round 64 bits
        raise RleError(f"a count is {most}, expected at most {shape[0]}x{shape[1]} = {expected}")
    n_runs, total, least = _find_edges(numbers, edges)
    if least < 0:
        raise RleError(f"counts must not be negative, found {least}")
    if total != expected:
        raise RleError(f"counts cover {total} pixels, expected {shape[0]}x{shape[1]} = {expected}")
    return edges[0, :n_runs], edges[1, :n_runs]


def runs_to_masks(cells: Sequence[Runs], shape: Shape) -> CellMasks:
    """Turn the column-major runs of an image's cells into `CellMasks`.

    Parameters
    ----------
    cells : sequence of (starts, ends)
        Of every cell at least one run; overlapping runs of a cell are united.
    shape : (H, W)
    """
    if not cells:
        return CellMasks.empty(shape)
    starts = np.concatenate([start for start, _ in cells])
    lengths = np.concatenate([end for _, end in cells]) - starts
    offsets = np.cumsum([0, *(len(start) for start, _ in cells)], dtype=np.int64)
    height, width = shape
    return _transposed(starts, lengths.astype(np.int32), offsets, (width, height), shape)


def masks_to_counts(masks: CellMasks) -> list[str]:
    """Give each cell's compressed column-major counts, the form COCO tools read.

    Returns
    -------
    list of N str
    """
    height, width = masks.shape
    columns = _transposed(masks.starts, masks.lengths, masks.offsets, masks.shape, (width, height))
    texts = []
    for first, last in zip(columns.offsets[:-1], columns.offsets[1:], strict=True):
        starts = columns.starts[first:last]
        edges = np.empty(2 * len(starts) + 2, np.int64)
        edges[0], edges[-1] = 0, height * width
        edges[1:-1:2] = starts
        edges[2:-1:2] = starts + columns.lengths[first:last]
        counts = np.diff(edges)
        texts.append(encode_counts(counts[:-1] if counts[-1] == 0 else counts))
    return texts


def _as_integers(counts: Sequence[int]) -> NDArray[np.int64]:
    try:
        numbers = np.asarray(counts)
    except ValueError:  # lists within it, of different length
        numbers = np.zeros((), np.int64)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise RleError("counts must be a string or a list of whole numbers")
    return numbers.astype(np.int64)


def _transposed(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    offsets: NDArray[np.int64],
    shape: Shape,
    shape_out: Shape,
) -> CellMasks:
    starts, lengths = np.ascontiguousarray(starts), np.ascontiguousarray(lengths)
    n_runs = np.zeros(len(offsets), np.int64)
    nowhere, no_length = np.empty(0, np.int64), np.empty(0, np.int32)
    _transpose(starts, lengths, offsets, shape[0], shape[1], n_runs, nowhere, no_length)
    offsets_out = np.cumsum(n_runs)
    starts_out = np.empty(offsets_out[-1], np.int64)
    lengths_out = np.empty(offsets_out[-1], np.int32)
    _transpose(starts, lengths, offsets, shape[0], shape[1], n_runs, starts_out, lengths_out)
    return CellMasks(starts=starts_out, lengths=lengths_out, offsets=offsets_out, shape=shape_out)


@njit(cache=True, nogil=True)
def _transpose(  # type: ignore[no-untyped-def]
    starts, lengths, offsets, n_rows, n_cols, n_runs, starts_out, lengths_out
):
    """Write the row-major runs of the transposed image, or only count them.

    Runs lie inside the (n_rows, n_cols) image. `n_runs` (N + 1,) gets the number of runs of
    cell k at k + 1. With empty `starts_out` nothing else is written.
    """
    written = 0
    for cell in range(len(offsets) - 1):
        first, last = offsets[cell], offsets[cell + 1]
        top, bottom, left, right = n_rows, -1, n_cols, -1
        for run in range(first, last):
            start, end = starts[run], starts[run] + lengths[run] - 1
            top, bottom = min(top, start // n_cols), max(bottom, end // n_cols)
            if start // n_cols != end // n_cols:
                left, right = 0, n_cols - 1
            else:
                left, right = min(left, start % n_cols), max(right, end % n_cols)
        height, width = bottom - top + 1, right - left + 1
        inside = np.zeros(max(height * width, 0), np.bool_)  # transposed: (width, height)
        for run in range(first, last):
            for pixel in range(starts[run], starts[run] + lengths[run]):
                inside[(pixel % n_cols - left) * height + pixel // n_cols - top] = True
        n_cell, previous_end = 0, -1
        for i in range(len(inside)):
            if not inside[i]:
                continue
            pixel = (i // height + left) * n_rows + i % height + top
            if pixel != previous_end:
                n_cell += 1
                written += 1
                if len(starts_out) > 0:
                    starts_out[written - 1] = pixel
                    lengths_out[written - 1] = 0
            previous_end = pixel + 1
            if len(starts_out) > 0:
                lengths_out[written - 1] += 1
        n_runs[cell + 1] = n_cell


@njit(cache=True, nogil=True)
def _find_edges(counts, edges):  # type: ignore[no-untyped-def]
    """Write starts and ends of the runs that are not empty.

    Gives their number, the sum of the counts and the least of them. `edges` is (2, K // 2).
    """
    n_runs, total, least = 0, 0, 0
    for at in range(len(counts)):
        count = counts[at]
        least = min(least, count)
        if at % 2 == 1 and count > 0:
            edges[0, n_runs] = total
            edges[1, n_runs] = total + count
            n_runs += 1
        total += count
    return n_runs, total, least


@njit(cache=True, nogil=True)
def _decode(codes, counts):  # type: ignore[no-untyped-def]
    """Write the counts of the character `codes`; give their number, or minus the bad character."""
    n_counts, position = 0, 0
    while position < len(codes):
        number, shift, more = 0, 0, True
        while more:
            if position >= len(codes) or shift > 60:
                return -position
            code = np.int64(codes[position]) - 48
            if code < 0 or code > 63:
                return -(position + 1)
            number |= int((code & 31) << shift)
            more = (code & 32) != 0
            position += 1
            shift += 5
            if not more and (code & 16) != 0:
                number |= -1 << shift
        if n_counts > 2:
            number += counts[n_counts - 2]
        counts[n_counts] = number
        n_counts += 1
    return n_counts


@njit(cache=True, nogil=True)
def _encode(counts, codes):  # type: ignore[no-untyped-def]
    """Write the characters of `counts`; give their number. `codes` holds 13 a count."""
    position = 0
    for i in range(len(counts)):
        number = counts[i]
        if i > 2:
            number -= counts[i - 2]
        more = True
        while more:
            code = number & 31
            number >>= 5
            more = number != -1 if (code & 16) != 0 else number != 0
            codes[position] = code + 48 + (32 if more else 0)
            position += 1
    return position
