"""Calibrated confidence of a cell: the probability that it is right, learnt on held-out images.

The uncalibrated score of a cell (mean probability times ``exp(-flow_error)``) ranks the cells of
one image well, but a score of 0.8 means something else for each model. The calibrated score is the
probability that the cell matches a true cell with an IoU above one half.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.atomic import write_json
from cellflow.dynamics.cell_features import CellFeatures
from cellflow.errors import ModelError
from cellflow.jsontext import read_object
from cellflow.network.logistic import fit_logistic
from cellflow.network.model_folder import CONFIDENCE

FORMAT = 1
"""Version of the file format; files with a newer one are refused."""

COLUMNS = ("flow_error", "cellprob", "log_diameter", "log_diameter_squared", "spread")
"""Features of the logistic regression; diameters are relative to the one assumed for the image."""
PENALTY = 1e-3
"""Weight of the L2 penalty; mild, since there are thousands of cells for five weights."""
LARGEST_ERROR, LARGEST_LOGIT = 2.0, 10.0
"""Flow errors and logits are clipped to these."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Confidence:
    """A calibration of confidences: a logistic regression.

    Parameters
    ----------
    weights : (5,) float64
        Of `COLUMNS`.
    bias : float
    spread : float
        Mean spread of the cells that it was fitted on, used for cells without a spread; 0 if no
        cell had one.
    record : mapping
        How it was fitted, and its reliability on cells that it was not fitted on.
    """

    weights: NDArray[np.float64]
    bias: float
    spread: float
    record: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, features: CellFeatures, diameter: float) -> NDArray[np.float32]:
        """Give the probability that each cell is right, (N,) float32.

        Parameters
        ----------
        features : CellFeatures
        diameter : float
            Diameter that was assumed for the image, pixels.
        """
        logit = _columns(features, diameter, self.spread) @ self.weights + self.bias
        probability: NDArray[np.float32] = ((1 + np.tanh(logit / 2)) / 2).astype(np.float32)
        return probability


def fit_confidence(
    features: list[CellFeatures],
    diameters: list[float],
    is_right: list[NDArray[np.bool_]],
) -> Confidence | None:
    """Fit a calibration to the cells of several images.

    Parameters
    ----------
    features : list of CellFeatures
        One per image.
    diameters : list of float
        Diameter that was assumed for each image, pixels.
    is_right : list of (N,) bool
        Whether each cell matches a true one with an IoU above one half.

    Returns
    -------
    Confidence or None
        None if all cells are right, or all wrong, or there are none.
    """
    wanted = np.concatenate([np.zeros(0, bool), *is_right])
    if wanted.all() or not wanted.any():
        return None
    known = [one.spread for one in features if one.spread is not None and len(one)]
    spread = float(np.concatenate(known).mean()) if known else 0.0
    columns = np.concatenate(
        [_columns(one, d, spread) for one, d in zip(features, diameters, strict=True)]
    )
    fitted = fit_logistic(columns, wanted.astype(np.int64), 2, PENALTY)
    return Confidence(
        weights=fitted.weights[1] - fitted.weights[0],
        bias=float(fitted.bias[1] - fitted.bias[0]),
        spread=spread,
    )


def write_confidence(folder: Path | str, confidence: Confidence) -> None:
    """Write ``confidence.json`` into a model folder."""
    content = {
        "format": FORMAT,
        "weights": dict(zip(COLUMNS, confidence.weights.tolist(), strict=True)),
        "bias": confidence.bias,
        "spread": confidence.spread,
        "record": confidence.record,
    }
    write_json(Path(folder) / CONFIDENCE, content)


def read_confidence(folder: Path | str) -> Confidence | None:
    """Read ``confidence.json`` of a model folder; None if there is none.

    Raises
    ------
    ModelError
        The file is broken, or a newer cellflow wrote it.
    """
    path = Path(folder) / CONFIDENCE
    if not path.exists():
        return None
    content = read_object(path, ModelError, newest=FORMAT)
    try:
        if set(content["weights"]) != set(COLUMNS):
            raise ValueError(f"expected weights of {', '.join(COLUMNS)}")
        weights = np.array([content["weights"][name] for name in COLUMNS], np.float64)
        bias, spread = float(content["bias"]), float(content["spread"])
        if not np.isfinite([*weights, bias, spread]).all():
            raise ValueError("weights must be finite numbers")
        return Confidence(weights=weights, bias=bias, spread=spread, record=content["record"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: broken: {error}") from error


def _columns(features: CellFeatures, diameter: float, spread: float) -> NDArray[np.float64]:
    """Give the (N, 5) features, in the order of `COLUMNS`."""
    relative = np.log(2 * np.sqrt(np.maximum(features.areas, 1) / np.pi) / diameter)
    spreads = np.full(len(features), spread) if features.spread is None else features.spread
    return np.column_stack(
        [
            np.minimum(features.flow_errors, LARGEST_ERROR),
            np.clip(features.cellprob, -LARGEST_LOGIT, LARGEST_LOGIT),
            relative,
            relative**2,
            spreads,
        ]
    )
