"""How large the cells of an image are: given, learnt, or found in it.

=========  =========================================================================================
fixed      ``inference.diameter``
training   the median of the training images, each network its own
per_type   a first pass at the diameter given or learnt tells the cell type by its style; then the
           diameter of that type in ``thresholds.json``; where the type is unsure, as without
estimated  a first pass at the network's own diameter (or at ``inference.diameter``), as if nothing
           were known; then the median of the cells that it found
refined    a first pass at the diameter given or learnt; then the median of the cells that it found,
           when there are enough of them, and not beyond a factor
auto       per_type when the model has diameters of types, else fixed when a diameter is given, else
           training when the model knows it, else estimated
=========  =========================================================================================

`benchmarks/prediction_levers.py` measures them, and the score against the diameter.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.config import DiameterPolicy, InferenceConfig
from cellflow.errors import ConfigError

SMALLEST_DIAMETER = 5.0
"""Pixels; Cellpose 3.1 does not enlarge images further than for cells of this size."""
FEWEST_CELLS = 5
"""Cells of a first pass from which their median is believed."""
LARGEST_CORRECTION = 2.0
"""Factor by which a first pass may change the diameter that is given or learnt."""


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
        Whether the model tells cell types, and some have diameters of their own.

    Raises
    ------
    ConfigError
        The policy needs what neither the settings nor the model have.
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
            "inference.diameter_policy: training, but the model does not say the diameter of the "
            "cells that it was trained on; give --diameter, or use estimated"
        )
    if policy == "per_type" and not has_types:
        raise ConfigError(
            "inference.diameter_policy: per_type, but the model does not tell cell types, or its "
            "thresholds.json has no diameters of them"
        )
    return policy


def measured_diameter(
    areas: NDArray[np.integer[Any]], start: float, policy: DiameterPolicy
) -> float:
    """Give the diameter that the cells of a first pass tell of, pixels.

    Parameters
    ----------
    areas : (N,) integer
        Of the cells that were found, pixels; zeros (labels without pixels) are left out.
    start : float
        Diameter at which they were looked for, pixels.
    policy : {"estimated", "refined"}
        Whether `start` was a guess, or is close to the truth.

    Returns
    -------
    float
        The median over cells of the diameter of a disc with the cell's area; `start` where there
        are too few cells.

    Notes
    -----
    Below `SMALLEST_DIAMETER` only where `start` is: specks would have the image enlarged many times
    over.
    """
    present = areas[areas > 0]
    if len(present) < (1 if policy == "estimated" else FEWEST_CELLS):
        return start
    found = float(np.median(np.sqrt(present)) * 2 / np.sqrt(np.pi))
    if policy == "refined":
        found = float(np.clip(found, start / LARGEST_CORRECTION, start * LARGEST_CORRECTION))
    return max(found, min(start, SMALLEST_DIAMETER))
