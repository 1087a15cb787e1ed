"""The interface between training or prediction and the models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.baselines.examples import Example
from cellflow.baselines.settings import BaselineConfig
from cellflow.records import CellMasks, Shape
from cellflow.training.augment import Warp


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectedCells:
    """The cells that a network found in one image, before thresholds and the overlap rule.

    Parameters
    ----------
    masks : CellMasks
        N cells, which may overlap.
    scores : (N,) float32
        In [0, 1].
    kinds : (N,) int64
        Class number of each cell, from 0; -1 = the model predicts none.
    is_full : bool
        Whether the model reached its limit of detections.
    """

    masks: CellMasks
    scores: NDArray[np.float32]
    kinds: NDArray[np.int64]
    is_full: bool = False


class Learner(Protocol):
    """A network with its loss and its conversion of outputs to cells."""

    network: Any
    """A ``torch.nn.Module``."""
    is_flat: bool
    """Whether it is trained on truth without overlap."""
    operators: str
    """Which implementations of torchvision's operators are in use."""

    def losses(
        self, examples: Sequence[Example], device: torch.device
    ) -> Mapping[str, torch.Tensor]:
        """Give the parts of a batch's loss by name; training minimises their sum."""

    def find(self, seen: torch.Tensor, shape: Shape, config: BaselineConfig) -> DetectedCells:
        """Find the cells of an image.

        Parameters
        ----------
        seen : (1, h, w) float32 tensor, on the network's device
            The network's input: the crop `whole_image`.
        shape : (H, W)
            Of the original image; the cells are given at this size.
        config : BaselineConfig
        """


def whole_image(shape: Shape, scale: float) -> Warp:
    """Give the crop of a whole image that the network sees in prediction.

    Notes
    -----
    It is resampled in the same way as in training, so that pixels lie at the same positions.
    """
    return Warp(
        horizontal_flip=False,
        vertical_flip=False,
        angle=0.0,
        scale=scale,
        shift=(0.0, 0.0),
        shape=(math.ceil(shape[0] * scale), math.ceil(shape[1] * scale)),
    )
