"""Features of each cell that indicate whether it is right, from labels and `FlowField`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.dynamics.follow import checked_field
from cellflow.errors import LabelError
from cellflow.targets.centers import find_boxes
from cellflow.targets.flows import cell_flow_errors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellFeatures:
    """Features of the N cells of an image, by ascending label.

    Parameters
    ----------
    flow_errors : (N,) float64
        See `cell_flow_errors`.
    cellprob : (N,) float64
        Mean logit of the cell's pixels.
    probability : (N,) float64
        Mean probability of the cell's pixels.
    areas : (N,) int64
        Pixels.
    spread : (N,) float64, or None
        Mean spread of the flows over views, scales and models, pixels per step; None after a single
        pass.
    """

    flow_errors: NDArray[np.float64]
    cellprob: NDArray[np.float64]
    probability: NDArray[np.float64]
    areas: NDArray[np.int64]
    spread: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Give the number of cells."""
        return len(self.areas)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Uncalibrated confidence, (N,): mean probability times ``exp(-flow_error)``."""
        scores: NDArray[np.float64] = self.probability * np.exp(-self.flow_errors)
        return scores

    def select(self, cells: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> "CellFeatures":
        """Give the features of some of the cells, in the given order."""
        return CellFeatures(
            flow_errors=self.flow_errors[cells],
            cellprob=self.cellprob[cells],
            probability=self.probability[cells],
            areas=self.areas[cells],
            spread=None if self.spread is None else self.spread[cells],
        )


def cell_features(
    labels: NDArray[Any],
    flows: NDArray[Any],
    cellprob: NDArray[Any],
    spread: NDArray[Any] | None = None,
) -> CellFeatures:
    """Measure the features of every cell.

    Parameters
    ----------
    labels : (H, W) integer
    flows : (2, H, W) float32
        Pixels per step (dy, dx).
    cellprob : (H, W) float32
        Logit.
    spread : (H, W) float32, optional
        Pixels per step.

    Raises
    ------
    LabelError
        The labels cannot be used, or the shapes do not fit.
    """
    flows, cellprob = checked_field(flows, cellprob)
    cells = find_boxes(labels)
    if cells.labels.shape != cellprob.shape:
        raise LabelError(f"labels have shape {cells.labels.shape}, cellprob {cellprob.shape}")
    flat = cells.labels.ravel()

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        sums = np.bincount(flat, values.ravel().astype(np.float64), minlength=1)
        means: NDArray[np.float64] = sums[cells.values] / cells.areas
        return means

    logits = cellprob.astype(np.float64)
    return CellFeatures(
        flow_errors=cell_flow_errors(cells, flows, np.ones(len(cells.values), np.bool_)),
        cellprob=mean(logits),
        # The logistic function, in a form that does not overflow.
        probability=mean((1 + np.tanh(logits / 2)) / 2),
        areas=cells.areas,
        spread=None if spread is None else mean(spread),
    )
