"""Encode cells and their numbers as compact text for the page; `cells.js` decodes it.

A *varint* is a whole number in bytes of 7 bits, lowest first, the top bit set on all but the
last. A *zigzag* number z stands for 0, -1, 1, -2 … as z = 0, 1, 2, 3 …
"""

import base64
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cellflow.data.contours import trace_contours
from cellflow.records import CellMasks


def pack_cells(masks: CellMasks) -> str:
    """Give the contours of all cells as base64.

    Notes
    -----
    Varints: the number of cells; for each cell the number of its loops; for each loop the zigzag
    differences in y and x of its first corner from that of the previous loop, and the number of its
    steps. Then the steps of all loops, four per byte, the first in the lowest bits.
    """
    contours = trace_contours(masks)
    moves = np.diff(contours.corners, axis=0, prepend=np.zeros((1, 2), np.int32))
    table = np.column_stack([_zigzag(moves), contours.n_steps]).tolist()
    header, loop = bytearray(_varint(len(masks))), 0
    for n_loops in contours.n_loops.tolist():
        header += _varint(n_loops)
        for row in table[loop : loop + n_loops]:
            header += b"".join(map(_varint, row))
        loop += n_loops
    return _base64(bytes(header) + _four_a_byte(contours.steps))


def pack_numbers(numbers: Iterable[int]) -> str:
    """Give non-negative integers as varints in base64."""
    return _base64(b"".join(map(_varint, numbers)))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zigzag(numbers: NDArray[np.int32]) -> NDArray[np.int64]:
    wide = numbers.astype(np.int64)
    zigzag: NDArray[np.int64] = np.where(wide < 0, -2 * wide - 1, 2 * wide)
    return zigzag


def _four_a_byte(steps: NDArray[np.uint8]) -> bytes:
    padded = np.zeros(-(-len(steps) // 4) * 4, np.uint8)
    padded[: len(steps)] = steps
    fours = padded.reshape(-1, 4)
    return bytes(fours[:, 0] | fours[:, 1] << 2 | fours[:, 2] << 4 | fours[:, 3] << 6)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
