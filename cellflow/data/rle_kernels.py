"""Byte by byte between Kaggle's run-length text and runs, and from labels to runs; kernels only.

They check nothing but what they are named for: arrays are one-dimensional, contiguous and as long
as `cellflow.data.rle` makes them. Codes tell what is wrong with a text.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

OK, NOT_A_NUMBER, ODD, EMPTY, NOT_POSITIVE, UNSORTED, OUTSIDE = range(7)

_SPACE, _NEWLINE, _ZERO, _NINE, _MINUS = (ord(sign) for sign in " \n09-")


TEN, ZERO = np.uint64(10), np.uint64(_ZERO)
STRETCH = 512
"""Pixels whose changes are marked before the marks are read; a multiple of 8."""

_LAST_4, _ODD_2, _ODD_1 = (
    np.uint64(mask) for mask in (0xFFFFFFFF00000000, 0xFFFF0000FFFF0000, 0xFF00FF00FF00FF00)
)
"""Among the 8 bytes of a word: the last four, every second pair, every second one."""


@njit(cache=True, nogil=True)
def parse_numbers(
    text: NDArray[np.uint8], numbers: NDArray[np.int64], cell_ends: NDArray[np.int64]
) -> tuple[int, int]:
    """Read whole numbers.

    Cost: a few operations a byte.

    Parameters
    ----------
    text : (B,) uint8
        Numbers between spaces; a line a cell.
    numbers : (>= (B + 1) // 2 + 1,) int64, written
    cell_ends : (lines,) int64, written
        Count of numbers up to the end of each line.

    Returns
    -------
    status, cell : int
        OK, or NOT_A_NUMBER and the line where.
    """
    n_numbers, cell, value, digits, sign = 0, 0, 0, 0, 1
    for index in range(len(text) + 1):
        code = np.int64(text[index]) if index < len(text) else np.int64(_NEWLINE)
        if _ZERO <= code <= _NINE:
            digits += 1
            if digits > 18:
                return NOT_A_NUMBER, cell
            value = value * 10 + int(code - _ZERO)
            continue
        if code == _MINUS and digits == 0 and sign == 1:
            sign = -1
            continue
        if code != _SPACE and code != _NEWLINE:
            return NOT_A_NUMBER, cell
        if digits > 0:
            numbers[n_numbers] = sign * value
            n_numbers += 1
        elif sign < 0:
            return NOT_A_NUMBER, cell
        value, digits, sign = 0, 0, 1
        if code == _NEWLINE:
            cell_ends[cell] = n_numbers
            cell += 1
    return OK, 0


@njit(cache=True, nogil=True)
def check_runs(
    numbers: NDArray[np.int64],
    cell_ends: NDArray[np.int64],
    n_pixels: int,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Copy valid runs, joining those that touch; or give the fault, its cell and its place.

    Cost: one look at each run.

    Parameters
    ----------
    numbers, cell_ends
        See `parse_numbers`.
    n_pixels : int
        Of the image.
    starts, lengths, offsets
        See `CellMasks`; written. As long as if no run touched another; offsets begin with 0.

    Returns
    -------
    status, cell, at : int
        OK, or what is wrong, in which cell, and the index of the run's start in `numbers`.
    """
    n_runs, first = 0, 0
    for cell in range(len(cell_ends)):
        end = cell_ends[cell]
        if end == first:
            return EMPTY, cell, first
        if (end - first) % 2:
            return ODD, cell, first
        last_end = np.int64(-1)
        for at in range(first, end, 2):
            start, length = numbers[at] - 1, numbers[at + 1]
            if start < 0 or length < 1:
                return NOT_POSITIVE, cell, at
            if start < last_end:
                return UNSORTED, cell, at
            if start > n_pixels or length > n_pixels - start:
                return OUTSIDE, cell, at
            if start == last_end:
                lengths[n_runs - 1] += length
            else:
                starts[n_runs] = start
                lengths[n_runs] = length
                n_runs += 1
            last_end = start + length
        offsets[cell + 1] = n_runs
        first = end
    return OK, 0, 0


@njit(cache=True, nogil=True)
def _write_number(value: int, text: NDArray[np.uint8], at: int) -> int:
    """Write `value` >= 1 in decimal at `text[at:]`; give the place behind it.

    Cost: one division a digit.
    """
    end, limit = at + 1, 10
    while value >= limit:
        end += 1
        limit *= 10
    rest = np.uint64(value)  # a signed division has to round towards minus infinity
    for place in range(end - 1, at - 1, -1):
        fewer = rest // TEN
        text[np.uint64(place)] = ZERO + (rest - fewer * TEN)
        rest = fewer
    return end


@njit(cache=True, nogil=True)
def format_runs(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int32],
    offsets: NDArray[np.int64],
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> None:
    """Write the cells behind each other; every number is followed by one separator.

    Cost: one division a digit.

    Parameters
    ----------
    starts, lengths, offsets
        See `CellMasks`.
    text : (B,) uint8, written
        Long enough for two numbers of the image's digits and two separators a run.
    ends : (N,) int64, written
        Where each cell's text ends, with its last separator.
    """
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
def list_changes(
    flat: NDArray[np.int32], first: int, changes: NDArray[np.int64], n: int
) -> tuple[int, int]:
    """List the pixels whose label is not that of the pixel before.

    Parameters
    ----------
    flat : (P,) int32
    first : int
        The first pixel that is looked at, 1 or more.
    changes : (C,) int64, written from `n` on
    n : int
        How many are listed already.

    Returns
    -------
    next, n : int
        The pixel to go on with, P at the end: where less than `STRETCH` places are left in
        `changes` it stops. How many are listed now.

    Notes
    -----
    Each pixel gets a byte, 1 where it differs from the one before, by vector instructions; then 8
    bytes are read as one word, in which only the marked ones are visited. Bytes count from the
    least of the word, as all processors have it that torch runs on.

    Cost: two loads and a byte stored a pixel, 1 / 8 of a test, and about 20 processor cycles a
    change, since where they are cannot be foreseen. Bound: the memory's bandwidth, for one pass
    over the labels.
    """
    differs = np.zeros(STRETCH, np.uint8)
    words, one = differs.view(np.uint64), np.uint64(1)
    while first < flat.size:
        if n + STRETCH > changes.size:
            return first, n
        length = min(STRETCH, flat.size - first)
        here, before = flat[first : first + length], flat[first - 1 : first - 1 + length]
        for i in range(length):
            differs[i] = here[i] != before[i]
        differs[length:] = 0
        for word in range(STRETCH // 8):
            left = words[word]
            while left != 0:
                mark = left & (~left + one)  # the lowest
                byte = 4 * ((mark & _LAST_4) != 0)
                byte += 2 * ((mark & _ODD_2) != 0) + ((mark & _ODD_1) != 0)
                changes[np.uint64(n)] = first + 8 * word + byte
                n += 1
                left ^= mark
        first += length
    return flat.size, n


@njit(cache=True, nogil=True)
def label_range(flat: NDArray[np.int32], bounds: NDArray[np.int64]) -> tuple[np.int32, np.int32]:
    """Give the smallest and the largest label, or 0; `flat` and `bounds` as for `sort_runs`.

    Cost: one look at each run.
    """
    smallest, largest = np.int32(0), np.int32(0)
    for k in range(bounds.size - 1):
        label = flat[bounds[k]]
        smallest, largest = min(smallest, label), max(largest, label)
    return smallest, largest


@njit(cache=True, nogil=True)
def sort_runs(
    flat: NDArray[np.int32], bounds: NDArray[np.int64], largest: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Give starts, lengths and offsets of `CellMasks`: the runs by label, then by start.

    Parameters
    ----------
    flat : (P,) int32
        None negative, none above `largest`.
    bounds : (R + 1,) int64
        Where each run of equal labels begins, background too, and P.
    largest : int

    Notes
    -----
    Cost: two looks at each run, one at each number up to `largest`.
    """
    next_run = np.zeros(largest + 1, np.int64)
    owners = np.empty(bounds.size - 1, np.int32)
    for k in range(owners.size):
        # Unsigned, here and below, so that Numba need not look for negative indices.
        owners[k] = flat[np.uint64(bounds[k])]
        next_run[np.uint64(owners[k])] += 1
    next_run[0] = 0
    offsets, n_cells = np.zeros(largest + 1, np.int64), 0
    for label in range(1, largest + 1):
        n_runs, next_run[label] = next_run[label], offsets[n_cells]
        if n_runs > 0:
            offsets[n_cells + 1] = offsets[n_cells] + n_runs
            n_cells += 1
    starts = np.empty(offsets[n_cells], np.int64)
    lengths = np.empty(offsets[n_cells], np.int32)
    for k in range(owners.size):
        if owners[k] > 0:
            place = np.uint64(next_run[np.uint64(owners[k])])
            starts[place], lengths[place] = bounds[k], bounds[k + 1] - bounds[k]
            next_run[np.uint64(owners[k])] += 1
    return starts, lengths, offsets[: n_cells + 1]
