"""`FlowField` → `Prediction`, with the model's thresholds for the cell type of the image."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.config import Config, DynamicsConfig
from cellflow.dynamics.boundary import shift_boundaries
from cellflow.dynamics.cell_features import cell_features
from cellflow.dynamics.cleanup import renumber
from cellflow.dynamics.segment import flows_to_labels
from cellflow.inference.confidence import Confidence, read_confidence
from cellflow.network.cell_type_head import CellTypeHead
from cellflow.network.model_folder import ModelFolder
from cellflow.records import FlowField, Prediction

STEPS_AT_MEAN = 200
"""Euler steps for cells of the network's own diameter; proportionally more for larger cells, as in
Cellpose."""


def steps_along(dynamics: DynamicsConfig, diameter: float, diam_mean: float) -> int:
    """Give the number of steps along the flows.

    Parameters
    ----------
    dynamics : DynamicsConfig
    diameter, diam_mean : float
        Of the cells in the image and as the network saw them, pixels.
    """
    return dynamics.n_steps or max(1, int(STEPS_AT_MEAN * diameter / diam_mean))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFinder:
    """Turns flow fields into cells.

    Parameters
    ----------
    config : Config
        Settings for images of unknown cell type.
    per_cell_type : mapping of str to Config
        Settings for the cell types that have their own.
    cell_type_head : CellTypeHead or None
        Predicts the cell type of an image if it is not given.
    confidence : Confidence or None
        Calibrates the scores.
    """

    config: Config
    per_cell_type: Mapping[str, Config] = field(default_factory=dict)
    cell_type_head: CellTypeHead | None = None
    confidence: Confidence | None = None

    @classmethod
    def from_folder(cls, folder: ModelFolder, change: Callable[[Config], Config]) -> "CellFinder":
        """Combine a model folder with the user's settings, which take precedence for every type.

        Parameters
        ----------
        folder : ModelFolder
        change : callable
            ``change(settings)`` gives the settings to use.
        """
        per_cell_type = folder.thresholds.per_cell_type
        return cls(
            config=change(folder.config),
            per_cell_type={
                kind: change(settings.applied_to(folder.config))
                for kind, settings in per_cell_type.items()
            },
            cell_type_head=folder.cell_type_head,
            confidence=read_confidence(folder.path),
        )

    def config_of(self, cell_type: str | None) -> Config:
        """Give the settings for a cell type; the default for None or an unknown type."""
        return self.config if cell_type is None else self.per_cell_type.get(cell_type, self.config)

    @property
    def diameter_by_type(self) -> dict[str, float]:
        """Diameters of the cell types whose diameter differs from the default, pixels."""
        default = self.config.inference.diameter
        found = {kind: one.inference.diameter for kind, one in self.per_cell_type.items()}
        return {kind: size for kind, size in found.items() if size and size != default}

    def classify(self, style: NDArray[np.float32]) -> tuple[str | None, float | None]:
        """Give the cell type of an image by its style, and its probability.

        Returns
        -------
        cell_type : str or None
            None if the head is unsure, the image is blank, or there is no head.
        probability : float or None
            Of the most probable type; None if the image is blank or there is no head.
        """
        return (None, None) if self.cell_type_head is None else self.cell_type_head.classify(style)

    def find_labels(
        self,
        flow_field: FlowField,
        *,
        diameter: float,
        diam_mean: float,
        cell_type: str | None = None,
    ) -> NDArray[np.int32]:
        """Turn a flow field into labels, without score threshold and boundary shift.

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
        return flows_to_labels(
            flow_field.flows,
            flow_field.cellprob,
            cellprob_threshold=dynamics.cellprob_threshold,
            flow_threshold=dynamics.flow_threshold,
            min_size=dynamics.min_size,
            n_steps=steps_along(dynamics, diameter, diam_mean),
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
        """Give the cells of an image.

        Parameters
        ----------
        flow_field, diameter, diam_mean
            See `find_labels`.
        name : str
            The image's id.
        cell_type : str, optional
            If known; by default `classify` predicts it.

        Notes
        -----
        Cells are scored before their boundaries are shifted.
        """
        probability: float | None = 1.0
        if cell_type is None:
            cell_type, probability = self.classify(flow_field.style)
        dynamics = self.config_of(cell_type).dynamics
        labels = self.find_labels(
            flow_field, diameter=diameter, diam_mean=diam_mean, cell_type=cell_type
        )
        scores = self.score_cells(labels, flow_field, diameter)
        keep = scores >= dynamics.score_threshold
        renumber(labels, np.concatenate([[True], keep]))
        if dynamics.boundary_shift:
            labels = shift_boundaries(labels, flow_field.cellprob, dynamics.boundary_shift)
        return Prediction(
            name=name,
            labels=labels,
            scores=scores[keep],
            cell_type=cell_type,
            cell_type_probability=probability,
        )

    def score_cells(
        self, labels: NDArray[np.int32], flow_field: FlowField, diameter: float
    ) -> NDArray[np.float32]:
        """Give the confidence of each cell, calibrated if the model is; (N,) float32."""
        features = cell_features(labels, flow_field.flows, flow_field.cellprob, flow_field.spread)
        if self.confidence is None:
            return features.scores.astype(np.float32)
        return self.confidence(features, diameter)

    def to_dict(self) -> dict[str, Any]:
        """Give all settings that the cells depend on, as plain values, for `Store.open`."""
        kinds = {"": self.config, **self.per_cell_type}
        return {
            kind: {"dynamics": asdict(one.dynamics), "diameter": one.inference.diameter}
            for kind, one in kinds.items()
        }
