"""The score of a perfect model if overlapping masks are flattened by a policy."""

from collections.abc import Iterable
from typing import get_args

import numpy as np

from cellflow.config import FlattenPolicy
from cellflow.data.flatten import flatten
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks


def policy_ceilings(images: Iterable[CellMasks]) -> dict[FlattenPolicy, float]:
    """Give the mean score of the labels of each flatten policy against the overlapping truth.

    Parameters
    ----------
    images : iterable of CellMasks
        Truth of each image; consumed once.

    Returns
    -------
    dict of policy to float
        Mean average precision over the images; 1 = the policy costs nothing. NaN without images.
    """
    scores: dict[FlattenPolicy, list[float]] = {policy: [] for policy in get_args(FlattenPolicy)}
    for truth in images:
        for policy, own in scores.items():
            own.append(average_precision(truth, flatten(truth, policy)).mean)
    return {policy: float(np.mean(own)) if own else float("nan") for policy, own in scores.items()}
