"""The diameter of the cells in an image: set by the user, learnt, or measured in the image.

The policies of ``inference.diameter_policy`` ("known diameter": that of the settings, or else of
the training images):

=========  =========================================================================================
fixed      ``inference.diameter``
training   the median diameter of the training images, for each network its own
per_type   a first pass at the known diameter gives the style, and so the cell type; then the
           diameter of that type in ``thresholds.json``, or the known one if the type is unsure
estimated  a first pass at ``inference.diameter``, or else at the network's own diameter, ignoring
           the training images; then the median diameter of the cells found
refined    a first pass at the known diameter; then the median diameter of the cells found, if
           there are enough of them, and within a factor of the first
auto       per_type if the model has diameters of cell types, else fixed if a diameter is set, else
           training if the model knows its training diameter, else estimated
=========  =========================================================================================

`benchmarks/prediction_levers.py` compares the policies, and the score at different diameters.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.config import DiameterPolicy, InferenceConfig
from cellflow.errors import ConfigError

SMALLEST_DIAMETER = 5.0
"""Pixels; like Cellpose 3.1, images are not enlarged further than for cells of this size."""
FEWEST_CELLS = 5
"""The policy ``refined`` uses the median of a first pass only if it found this many cells."""
LARGEST_CORRECTION = 2.0
"""Largest factor by which the policy ``refined`` changes the diameter."""


def choose_policy(
    settings: InferenceConfig, training: float | None, has_types: bool = False
) -> DiameterPolicy:
    """Turn ``auto`` into a policy that says where the diameter comes from.

    Parameters
    ----------
    settings : InferenceConfig
    training : float or None
        Diameter of the cells that the model was trained on, pixels.
    has_types : bool
        Whether the model predicts cell types and has diameters of some of them.

    Raises
    ------
    ConfigError
        The policy needs something that neither the settings nor the model have.
    """
    policy = settings.diameter_policy
    if policy == "auto":
        if has_types:
            return "per_type"
        if settings.diameter is not None:
            return "fixed"
        return "estimated" if training is None else "training"
    if policy == "training" and training is None:
        raise ConfigError(
            "inference.diameter_policy: training, but the model has no training diameter; "
            "give --diameter, or use estimated"
        )
    if policy == "per_type" and not has_types:
        raise ConfigError(
            "inference.diameter_policy: per_type, but the model does not predict cell types, or "
            "its thresholds.json has no diameters of them"
        )
    return policy


def measured_diameter(
    areas: NDArray[np.integer[Any]], start: float, policy: DiameterPolicy
) -> float:
    """Give the diameter of the cells found in a first pass, pixels.

    Parameters
    ----------
    areas : (N,) integer
        Areas of the cells found, pixels; zeros (labels without pixels) are ignored.
    start : float
        Diameter used in the first pass, pixels.
    policy : {"estimated", "refined"}
        Whether `start` was a guess, or is close to the truth.

    Returns
    -------
    float
        The median over cells of the diameter of a disc with the cell's area; `start` if there are
        too few cells.

    Notes
    -----
    The result is below `SMALLEST_DIAMETER` only if `start` is: otherwise specks that pass for cells
    would cause the image to be enlarged many times over.
    """
    present = areas[areas > 0]
    if len(present) < (1 if policy == "estimated" else FEWEST_CELLS):
        return start
    found = float(np.median(np.sqrt(present)) * 2 / np.sqrt(np.pi))
    if policy == "refined":
        found = float(np.clip(found, start / LARGEST_CORRECTION, start * LARGEST_CORRECTION))
    return max(found, min(start, SMALLEST_DIAMETER))
