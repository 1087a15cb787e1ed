"""Byte by byte between Kaggle's run-length text and runs, and from labels to runs; kernels only.

They check nothing but what they are named for: arrays are one-dimensional, contiguous and as long
as `cellflow.data.rle` makes them. Codes tell what is wrong with a text.
"""

import numpy as np
from numba import njit

OK, NOT_A_NUMBER, ODD, EMPTY, NOT_POSITIVE, UNSORTED, OUTSIDE = range(7)

_SPACE, _NEWLINE, _ZERO, _NINE, _MINUS = (ord(sign) for sign in " \n09-")


@njit(cache=True, nogil=True)
def parse_numbers(text, numbers, cell_ends):  # type: ignore[no-untyped-def]
    """Read whole numbers from `text`; `cell_ends[k]` is the count of numbers up to line k."""
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
def check_runs(numbers, cell_ends, n_pixels, starts, lengths, offsets):  # type: ignore[no-untyped-def]
    """Copy valid runs, joining those that touch; or give the fault, its cell and its place."""
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
def format_runs(starts, lengths, offsets, text, ends):  # type: ignore[no-untyped-def]
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
def sort_runs(starts, lengths, owners, next_run):  # type: ignore[no-untyped-def]
    """Give starts and lengths, those of label k in their order from ``next_run[k]`` on.

    `next_run` is used up.
    """
    sorted_starts, sorted_lengths = np.empty_like(starts), np.empty_like(lengths)
    for run in range(len(starts)):
        place = next_run[owners[run]]
        sorted_starts[place] = starts[run]
        sorted_lengths[place] = lengths[run]
        next_run[owners[run]] = place + 1
    return sorted_starts, sorted_lengths
