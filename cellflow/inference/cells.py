"""`FlowField` to `Prediction`: the model's thresholds, by cell type where that is known."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.config import Config
from cellflow.dynamics.boundary import shift_boundaries
from cellflow.dynamics.cleanup import renumber
from cellflow.dynamics.segment import cell_scores, flows_to_labels
from cellflow.network.thresholds import Thresholds
from cellflow.records import FlowField, Prediction

STEPS_AT_MEAN = 200
"""Euler steps for cells of the network's own diameter; larger cells take more (Cellpose)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFinder:
    """What turns a flow field into cells.

    Parameters
    ----------
    config : Config
        For images of unknown cell type.
    per_cell_type : mapping of str to Config
        For the types that have settings of their own.
    """

    config: Config
    per_cell_type: Mapping[str, Config] = field(default_factory=dict)

    @classmethod
    def from_thresholds(
        cls, config: Config, thresholds: Thresholds, change: Callable[[Config], Config]
    ) -> "CellFinder":
        """Combine a model's thresholds with the user's own settings, which win for every type.

        Parameters
        ----------
        config : Config
            The model's.
        thresholds : Thresholds
        change : callable
            Gets settings and gives those to use.
        """
        return cls(
            config=change(thresholds.default.applied_to(config)),
            per_cell_type={
                kind: change(settings.applied_to(config))
                for kind, settings in thresholds.per_cell_type.items()
            },
        )

    def config_of(self, cell_type: str | None) -> Config:
        """Give the settings for a cell type; None or an unknown one = the default."""
        return self.config if cell_type is None else self.per_cell_type.get(cell_type, self.config)

    def find_labels(
        self,
        flow_field: FlowField,
        *,
        diameter: float,
        diam_mean: float,
        cell_type: str | None = None,
    ) -> NDArray[np.int32]:
        """Follow a flow field to labels, without the score threshold and the boundary's shift.

        Parameters
        ----------
        flow_field : FlowField
        diameter, diam_mean : float
            Of the cells in the image and as the network saw them, pixels.
        cell_type : str, optional

        Returns
        -------
        (H, W) int32
        """
        dynamics = self.config_of(cell_type).dynamics
        steps = dynamics.n_steps or max(1, int(STEPS_AT_MEAN * diameter / diam_mean))
        return flows_to_labels(
            flow_field.flows,
            flow_field.cellprob,
            cellprob_threshold=dynamics.cellprob_threshold,
            flow_threshold=dynamics.flow_threshold,
            min_size=dynamics.min_size,
            n_steps=steps,
            tolerance=dynamics.tolerance,
        )

    def find(
        self,
        flow_field: FlowField,
        name: str,
        *,
        diameter: float,
        diam_mean: float,
        cell_type: str | None = None,
    ) -> Prediction:
        """Give the cells of an image; the other parameters are those of `find_labels`.

        Notes
        -----
        Scores are of the cells as the flows draw them. The boundary is shifted last.
        """
        dynamics = self.config_of(cell_type).dynamics
        labels = self.find_labels(
            flow_field, diameter=diameter, diam_mean=diam_mean, cell_type=cell_type
        )
        scores = cell_scores(labels, flow_field.flows, flow_field.cellprob)
        keep = scores >= dynamics.score_threshold
        renumber(labels, np.concatenate([[True], keep]))
        if dynamics.boundary_shift:
            labels = shift_boundaries(labels, flow_field.cellprob, dynamics.boundary_shift)
        return Prediction(name=name, labels=labels, scores=scores[keep], cell_type=cell_type)

    def to_dict(self) -> dict[str, Any]:
        """Give all that the cells depend on as plain values: what a resumed run must share."""
        kinds = {"": self.config, **self.per_cell_type}
        return {
            kind: {"dynamics": asdict(one.dynamics), "diameter": one.inference.diameter}
            for kind, one in kinds.items()
        }
