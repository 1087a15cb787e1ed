"""What a perfect model would score after its masks went through a policy or an accident."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from cellflow.config import FlattenPolicy
from cellflow.data.flatten import flatten
from cellflow.data.rle import dense_to_masks, masks_to_dense, masks_to_rle, rle_to_masks
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks

Treatment = Callable[[CellMasks], CellMasks | NDArray[Any]]


def policy_ceilings(images: Iterable[CellMasks]) -> dict[str, float]:
    """Give the mean score of each flatten policy's labels against the overlapping truth.

    Parameters
    ----------
    images : iterable of CellMasks
        Truth of each image; gone through once.

    Returns
    -------
    dict of policy to float
        Mean average precision over the images; 1 = the policy costs nothing. NaN without images.
    """
    treatments = {policy: _flattened(policy) for policy in get_args(FlattenPolicy)}
    return ceilings(images, treatments)


def ceilings(images: Iterable[CellMasks], treatments: Mapping[str, Treatment]) -> dict[str, float]:
    """Give the mean score of truth after each treatment, against the truth itself."""
    scores: dict[str, list[float]] = {name: [] for name in treatments}
    for truth in images:
        for name, treat in treatments.items():
            scores[name].append(average_precision(truth, treat(truth)).mean)
    return {name: float(np.mean(each)) if each else float("nan") for name, each in scores.items()}


def wrap_at_uint8(truth: CellMasks) -> NDArray[np.int32]:
    """Give small-on-top labels as an 8-bit file would keep them: cell 257 becomes cell 1."""
    wrapped: NDArray[np.int32] = (flatten(truth) % 256).astype(np.int32)
    return wrapped


def read_transposed(truth: CellMasks) -> CellMasks:
    """Give what results when row-major run lengths are read as column-major ones."""
    height, width = truth.shape
    misread = rle_to_masks(masks_to_rle(truth), (width, height))
    return dense_to_masks(masks_to_dense(misread).transpose(0, 2, 1))


def _flattened(policy: FlattenPolicy) -> Treatment:
    return lambda truth: flatten(truth, policy)
