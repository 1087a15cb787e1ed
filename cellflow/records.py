"""What travels between the rooms.

All records are frozen, slotted, keyword-only dataclasses, checked once when they are made.
They have no generated equality, since comparing arrays with ``==`` is ambiguous.
Axes are always (channel, y, x) and vectors (dy, dx).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.cell_masks import CellMasks, Shape
from cellflow.errors import ImageError, LabelError
from cellflow.record_checks import by, require_array, require_shape
from cellflow.wording import counted

__all__ = [
    "CellMasks",
    "Detections",
    "FlowField",
    "FlowTarget",
    "ImagePrecision",
    "MatchCounts",
    "Prediction",
    "Sample",
    "Shape",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
        if not isinstance(self.image, np.ndarray):
            raise ImageError(
                f"image {self.name}: expected an array, found {type(self.image).__name__}"
            )
        if self.image.ndim not in (2, 3):
            raise ImageError(
                f"image {self.name}: expected (H, W) or (C, H, W), found shape {self.image.shape}"
            )
        size = self.image.shape[-2:]
        if self.masks is not None and self.masks.shape != size:
            raise ImageError(
                f"image {self.name}: masks are for {by(self.masks.shape)}, the image is {by(size)}"
            )

    def __repr__(self) -> str:
        truth = "no truth" if self.masks is None else counted(len(self.masks), "cell")
        kind = f", {self.cell_type}" if self.cell_type else ""
        picture = f"{by(self.image.shape)} {self.image.dtype}"
        return f"<Sample {self.name}: {picture}, {truth}{kind}>"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
        require_array("flows", self.flows, np.float32, 3)
        require_array("cells", self.cells, np.bool_, 2)
        require_shape("flows", self.flows, (2, *self.cells.shape))

    def __repr__(self) -> str:
        return f"<FlowTarget {by(self.cells.shape)}>"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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
        for name, n_axes in (("flows", 3), ("cellprob", 2), ("style", 1)):
            require_array(name, getattr(self, name), np.float32, n_axes)
        require_shape("flows", self.flows, (2, *self.cellprob.shape))
        if self.spread is not None:
            require_array("spread", self.spread, np.float32, 2)
            require_shape("spread", self.spread, self.cellprob.shape)

    def __repr__(self) -> str:
        return f"<FlowField {by(self.cellprob.shape)}>"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Prediction:
    """The cells found in one image, without overlap by construction.

    Parameters
    ----------
    name : str
    labels : (H, W) int32
        0 background, cells 1…N; models leave no gap. Where you set a cell to 0, it is gone from all
        outputs, and the others keep their labels and scores.
    scores : (N,) float32
        Confidence of each cell in [0, 1]; ``scores[k]`` belongs to label ``k + 1``.
    cell_type : str or None
    cell_type_probability : float or None

    Raises
    ------
    LabelError
        An array has another dtype or number of axes, or a label is negative or has no score.
    """

    name: str
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    cell_type: str | None = None
    cell_type_probability: float | None = None

    def __post_init__(self) -> None:
        require_array("labels", self.labels, np.int32, 2)
        require_array("scores", self.scores, np.float32, 1)
        largest, smallest = int(self.labels.max(initial=0)), int(self.labels.min(initial=0))
        if smallest < 0:
            raise LabelError(f"image {self.name}: labels must be 0 or more, found {smallest}")
        if largest > len(self.scores):
            raise LabelError(f"image {self.name}: {largest} labels but {len(self.scores)} scores")

    def __repr__(self) -> str:
        kind = f", {self.cell_type}" if self.cell_type else ""
        found = counted(len(self.numbers), "cell")
        return f"<Prediction {self.name}: {found} in {by(self.labels.shape)}{kind}>"

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The labels that have pixels, ascending, (M,) int64: all from 1 to N unless edited."""
        numbers: NDArray[np.int64] = np.flatnonzero(np.bincount(self.labels.ravel())[1:]) + 1
        return numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        scored = "" if self.scores is None else " with scores"
        found = counted(len(self.masks), "cell")
        return f"<Detections {self.name}: {found}{scored} in {by(self.masks.shape)}>"


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        cells = f"{counted(self.n_truths, 'true cell')}, {self.n_predicted} predicted"
        return f"<ImagePrecision {self.mean:.3f}: {cells}>"
