"""The score of a perfect network: truth → labels → flows → cells, compared with the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from cellflow.config import DynamicsConfig
from cellflow.data.flatten import flatten
from cellflow.dynamics.segment import flows_to_labels
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks
from cellflow.targets.centers import find_boxes
from cellflow.targets.flows import labels_to_flows

SURE = 5.0
"""Logit of a perfect network in cells; outside cells its negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """Scores of one image with a network that makes no errors.

    Parameters
    ----------
    flattened : float
        Score of the labels that the network is trained on, small cells on top.
    largest_pieces : float
        Score if only the largest piece of each label is kept: no flow leads to the centre from
        pieces that other cells cut off.
    through_flows : float
        Score after flows and dynamics, with their default settings.
    """

    flattened: float
    largest_pieces: float
    through_flows: float


def measure_representation(truth: CellMasks) -> Representation:
    """Turn the truth of an image into training targets and back into cells, and score them.

    Notes
    -----
    At the image's own resolution. Pieces are 4-connected: no walk passes through a corner between
    other cells.
    """
    labels = flatten(truth)
    dynamics = DynamicsConfig()
    found = flows_to_labels(
        labels_to_flows(labels),
        np.where(labels > 0, SURE, -SURE).astype(np.float32),
        cellprob_threshold=dynamics.cellprob_threshold,
        flow_threshold=dynamics.flow_threshold,
        min_size=dynamics.min_size,
    )
    return Representation(
        flattened=average_precision(truth, labels).mean,
        largest_pieces=average_precision(truth, keep_largest_pieces(labels)).mean,
        through_flows=average_precision(truth, found).mean,
    )


def keep_largest_pieces(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keep only the largest 4-connected piece of each label.

    Parameters
    ----------
    labels : (H, W) int32

    Returns
    -------
    (H, W) int32
        Among equally large pieces the first in raster order is kept.
    """
    kept = np.zeros_like(labels)
    cells = find_boxes(labels)
    for value, (top, left, bottom, right) in zip(cells.values, cells.boxes, strict=True):
        window = slice(top, bottom), slice(left, right)
        pieces, n_pieces = label(cells.labels[window] == value)
        if n_pieces > 1:
            largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
            kept[window][pieces == largest] = value
        else:
            kept[window][pieces == 1] = value
    return kept
