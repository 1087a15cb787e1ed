"""What travels between the rooms.

All records are frozen, slotted, keyword-only dataclasses, checked once when they are made.
They have no generated equality, since comparing arrays with ``==`` is ambiguous.
Axes are always (channel, y, x) and vectors (dy, dx).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import ImageError, LabelError

Shape = tuple[int, int]
"""Height and width of an image in pixels."""

MOST_PIXELS = 2**31 - 1
"""In one image: a run's length is an int32, and one run may cover the whole image."""


def is_image_size(height: int, width: int) -> bool:
    """Tell whether an image can be this large, in pixels: not empty, at most `MOST_PIXELS`."""
    return height >= 1 and width >= 1 and height * width <= MOST_PIXELS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
        _require_dtype("starts", self.starts, np.int64)
        _require_dtype("lengths", self.lengths, np.int32)
        _require_dtype("offsets", self.offsets, np.int64)
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
            found = ", ".join(_by(part.shape) for part in parts) or "nothing"
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One image and, when it is annotated, its truth.

    Parameters
    ----------
    name : str
        The image's id: in the competition's data the file name without suffix.
    image : (H, W) or (C, H, W), any real dtype
        Grey levels as in the file, not normalised.
    masks : CellMasks or None
        What the annotators drew; None when the image is not annotated.
    cell_type : str or None
        In the competition's data one of shsy5y, astro, cort.
    group : str or None
        Images of one group (plate + well) must not be split between training and validation.

    Raises
    ------
    ImageError
        The image is not 2-D or 3-D, or the masks are for another size.
    """

    name: str
    image: NDArray[Any]
    masks: CellMasks | None = None
    cell_type: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        if self.image.ndim not in (2, 3):
            raise ImageError(
                f"image {self.name}: expected (H, W) or (C, H, W), found shape {self.image.shape}"
            )
        size = self.image.shape[-2:]
        if self.masks is not None and self.masks.shape != size:
            raise ImageError(
                f"image {self.name}: masks are for {_by(self.masks.shape)}, "
                f"the image is {_by(size)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowTarget:
    """What the network is trained to give for one image.

    Parameters
    ----------
    flows : (2, H, W) float32
        Unit vectors (dy, dx) towards the centre of the cell, 0 outside cells.
    cells : (H, W) bool
        Whether the pixel belongs to a cell.
    """

    flows: NDArray[np.float32]
    cells: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _require_dtype("flows", self.flows, np.float32)
        _require_dtype("cells", self.cells, np.bool_)
        _require_shape("flows", self.flows, (2, *self.cells.shape))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlowField:
    """The network's output for one image, at the image's own resolution.

    Parameters
    ----------
    flows : (2, H, W) float32
        Pixels per step (dy, dx): network output already divided by the flow scale.
    cellprob : (H, W) float32
        Logit of "this pixel belongs to a cell".
    style : (S,) float32
        Global style vector, unit length, or 0 where the image shows nothing; with several models
        that of the first. S is the last of the network's ``channels_per_level``, 256 for Cellpose.
    spread : (H, W) float32, or None
        How far views, scales and models disagree: root mean square distance of their flows from the
        mean, pixels per step. 0 = all the same; 1 = unit vectors in all directions. None after a
        single pass of one model.
    """

    flows: NDArray[np.float32]
    cellprob: NDArray[np.float32]
    style: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for name in ("flows", "cellprob", "style"):
            _require_dtype(name, getattr(self, name), np.float32)
        _require_shape("flows", self.flows, (2, *self.cellprob.shape))
        if self.spread is not None:
            _require_dtype("spread", self.spread, np.float32)
            _require_shape("spread", self.spread, self.cellprob.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """The cells found in one image, without overlap by construction.

    Parameters
    ----------
    name : str
    labels : (H, W) int32
        0 background, cells 1…N without gaps.
    scores : (N,) float32
        Confidence of each cell in [0, 1]; ``scores[k]`` belongs to label ``k + 1``.
    cell_type : str or None
    cell_type_probability : float or None
    """

    name: str
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    cell_type: str | None = None
    cell_type_probability: float | None = None

    def __post_init__(self) -> None:
        _require_dtype("labels", self.labels, np.int32)
        _require_dtype("scores", self.scores, np.float32)
        n_labels = int(self.labels.max(initial=0))
        if n_labels != len(self.scores):
            raise LabelError(f"image {self.name}: {n_labels} labels but {len(self.scores)} scores")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """What another model found in one image; its masks may overlap.

    Parameters
    ----------
    name : str
    masks : CellMasks
    scores : (N,) float32 or None
        Confidence of each cell in [0, 1].
    cell_types : tuple of N str, or None
    """

    name: str
    masks: CellMasks
    scores: NDArray[np.float32] | None = None
    cell_types: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for field in (self.scores, self.cell_types):
            if field is not None and len(field) != len(self.masks):
                raise LabelError(
                    f"image {self.name}: {len(self.masks)} masks but {len(field)} scores or types"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchCounts:
    """Hits and misses of one image, or summed over several, at T IoU thresholds.

    Parameters
    ----------
    thresholds : (T,) float64
        Ascending.
    tp, fp, fn : (T,) int64
        True positives, false positives (predictions), false negatives (truths).
    iou_sum : (T,) float64
        Sum of the IoUs of the matched pairs; NaN where cells are not matched one-to-one.
    """

    thresholds: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    iou_sum: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImagePrecision:
    """The competition's precision for one image.

    Parameters
    ----------
    n_truths, n_predicted : int
        Cells on either side.
    counts : MatchCounts
        In some variants TP + FN is not the number of truths.
    precision : (T,) float64
        The average precision of the field, which the competition calls precision: TP / (TP + FP +
        FN) at each threshold; 1 if the image has neither truth nor prediction.
    mean : float
        Mean over the thresholds: the image's score.
    """

    n_truths: int
    n_predicted: int
    counts: MatchCounts
    precision: NDArray[np.float64]
    mean: float


def _require_dtype(name: str, array: NDArray[Any], dtype: type[np.generic]) -> None:
    if array.dtype != dtype:
        raise LabelError(f"{name}: expected {np.dtype(dtype).name}, found {array.dtype.name}")


def _require_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise LabelError(f"{name}: expected shape {shape}, found {array.shape}")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
