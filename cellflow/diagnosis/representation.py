"""What a perfect network would score: truth to labels, to flows, and back to cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from cellflow.config import DynamicsConfig
from cellflow.data.flatten import flatten
from cellflow.dynamics.segment import flows_to_labels
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks
from cellflow.targets.centers import find_cells
from cellflow.targets.flows import labels_to_flows

SURE = 5.0
"""Logit of a pixel that a perfect network sees in a cell; outside its negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """Scores of one image without any error of a network.

    Parameters
    ----------
    flattened : float
        Of the labels that it is trained on, small cells on top.
    largest_pieces : float
        When only the largest piece of each label is left: what others cut off has no flow.
    through_flows : float
        After flows and dynamics with their default settings.
    """

    flattened: float
    largest_pieces: float
    through_flows: float


def measure_representation(truth: CellMasks) -> Representation:
    """Send the truth of an image through the training target and the dynamics.

    Notes
    -----
    At the image's own resolution. Pieces are connected by edges: flows lead no walk through a
    corner between other cells.
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
    """Give labels of which each is the largest of its pieces that are connected by edges.

    Parameters
    ----------
    labels : (H, W) int32

    Returns
    -------
    (H, W) int32
        Of equally large pieces the first in raster order is left.
    """
    kept = np.zeros_like(labels)
    cells = find_cells(labels)
    for value, (top, left, bottom, right) in zip(cells.values, cells.boxes, strict=True):
        window = slice(top, bottom), slice(left, right)
        pieces, n_pieces = label(cells.labels[window] == value)
        if n_pieces > 1:
            largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
            kept[window][pieces == largest] = value
        else:
            kept[window][pieces == 1] = value
    return kept
