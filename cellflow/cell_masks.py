"""The masks of one image as run lengths: the record that all reading and writing passes through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import LabelError
from cellflow.record_checks import by, checked_shape, require_array
from cellflow.wording import counted

Shape = tuple[int, int]
"""Height and width of an image in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CellMasks:
    """The possibly overlapping masks of one image, as run lengths.

    Parameters
    ----------
    starts : (R,) int64
        First pixel of each run: row-major, 0-based index into the flattened image.
        Ascending within a cell; the runs of one cell neither overlap nor touch.
    lengths : (R,) int32
        Pixels of each run, at least 1. A run may go on into the next row.
    offsets : (N + 1,) int64
        The runs of cell k are ``offsets[k]:offsets[k + 1]``. A cell has at least one run.
    shape : (H, W)
        Pixels.

    Raises
    ------
    LabelError
        The arrays do not fit each other or the image.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    offsets: NDArray[np.int64]
    shape: Shape

    def __post_init__(self) -> None:
        require_array("starts", self.starts, np.int64, 1)
        require_array("lengths", self.lengths, np.int32, 1)
        require_array("offsets", self.offsets, np.int64, 1)
        object.__setattr__(self, "shape", checked_shape(self.shape))
        if len(self.starts) != len(self.lengths):
            raise LabelError(f"{len(self.starts)} run starts but {len(self.lengths)} run lengths")
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.starts):
            raise LabelError(f"offsets must go from 0 to {len(self.starts)}, the number of runs")
        is_empty = self.offsets[1:] <= self.offsets[:-1]
        if is_empty.any():
            raise LabelError(f"cell {int(is_empty.argmax())} has no pixel")
        self._check_runs()

    def _check_runs(self) -> None:
        if len(self.starts) == 0:
            return
        height, width = self.shape
        ends = self.starts + self.lengths
        if self.starts.min() < 0 or self.lengths.min() < 1 or ends.max() > height * width:
            raise LabelError(f"a run lies outside the {height}x{width} image or is empty")
        touches_next = self.starts[1:] <= ends[:-1]
        touches_next[self.offsets[1:-1] - 1] = False  # the next run is another cell's
        if touches_next.any():
            raise LabelError("the runs of a cell must ascend and must not overlap or touch")

    def __repr__(self) -> str:
        return f"<CellMasks: {counted(len(self), 'cell')} in {by(self.shape)}>"

    def __len__(self) -> int:
        """Give the number of cells."""
        return len(self.offsets) - 1

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of each cell, (N,) int64."""
        if len(self) == 0:
            return np.zeros(0, np.int64)
        return np.add.reduceat(self.lengths, self.offsets[:-1], dtype=np.int64)

    @property
    def diameters(self) -> NDArray[np.float64]:
        """Diameter of the disc with the area of each cell, pixels, (N,) float64."""
        diameters: NDArray[np.float64] = 2 * np.sqrt(self.areas / np.pi)
        return diameters

    @property
    def n_overlapping(self) -> int:
        """Number of cells that share a pixel with another one."""
        if len(self) == 0:
            return 0
        cover = np.zeros(self.shape[0] * self.shape[1] + 1, np.int32)
        np.add.at(cover, self.starts, 1)
        np.add.at(cover, self.starts + self.lengths, -1)
        # At each pixel, how many before it are covered by two or more cells.
        crowded = np.concatenate([[0], np.cumsum(np.cumsum(cover[:-1]) > 1)])
        in_runs = crowded[self.starts + self.lengths] - crowded[self.starts]
        return int((np.add.reduceat(in_runs, self.offsets[:-1]) > 0).sum())

    def select(self, cells: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> "CellMasks":
        """Give some of the cells, in the order asked for.

        Parameters
        ----------
        cells : (M,) integer indices, or (N,) bool
        """
        indices = np.arange(len(self))[cells]
        counts = np.diff(self.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        runs = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], counts)
        return CellMasks(
            starts=self.starts[runs], lengths=self.lengths[runs], offsets=offsets, shape=self.shape
        )

    @classmethod
    def concatenate(cls, parts: Sequence["CellMasks"]) -> Self:
        """Give the cells of all parts, one after the other.

        Raises
        ------
        LabelError
            There is no part, or their image sizes differ.
        """
        if len({part.shape for part in parts}) != 1:
            found = ", ".join(by(part.shape) for part in parts) or "nothing"
            raise LabelError(f"expected masks for images of one size, found {found}")
        counts = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(
            starts=np.concatenate([part.starts for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            shape=parts[0].shape,
        )

    @classmethod
    def of_valid_runs(
        cls,
        starts: NDArray[np.int64],
        lengths: NDArray[np.int32],
        offsets: NDArray[np.int64],
        shape: Shape,
    ) -> Self:
        """Give the masks without checking runs that a kernel has made or checked.

        Notes
        -----
        Only for `cellflow.data.rle`: on an image with few cells the checks of a record take as long
        as everything else.
        """
        masks = object.__new__(cls)
        fields = {"starts": starts, "lengths": lengths, "offsets": offsets, "shape": shape}
        for name, value in fields.items():
            object.__setattr__(masks, name, value)
        return masks

    @classmethod
    def empty(cls, shape: Shape) -> Self:
        """Give the masks of an image without cells."""
        return cls(
            starts=np.zeros(0, np.int64),
            lengths=np.zeros(0, np.int32),
            offsets=np.zeros(1, np.int64),
            shape=shape,
        )
