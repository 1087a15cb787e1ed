"""What training and prediction ask of a model, whichever it is."""

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
class FoundCells:
    """What a network found in one image, before anything is cut or resolved.

    Parameters
    ----------
    masks : CellMasks
        N cells, which may overlap.
    scores : (N,) float32
        In [0, 1].
    kinds : (N,) int64
        Number of each cell's class, from 0; -1 = the model tells none.
    is_full : bool
        Whether the model stopped at the most that it may list.
    """

    masks: CellMasks
    scores: NDArray[np.float32]
    kinds: NDArray[np.int64]
    is_full: bool = False


class Learner(Protocol):
    """A network with its loss and its way to cells."""

    network: Any
    """A torch Module."""
    is_flat: bool
    """Whether it learns from truth without overlap."""
    operators: str
    """Which implementations of torchvision's operators are in use."""

    def losses(
        self, examples: Sequence[Example], device: torch.device
    ) -> Mapping[str, torch.Tensor]:
        """Give the parts of the loss of a batch, by name; training minimises their sum."""

    def find(self, seen: torch.Tensor, shape: Shape, config: BaselineConfig) -> FoundCells:
        """Find the cells of an image.

        Parameters
        ----------
        seen : (1, h, w) float32 tensor, on the network's device
            What the network sees: the crop `whole_image`.
        shape : (H, W)
            Of the image itself, which the cells are for.
        config : BaselineConfig
        """


def whole_image(shape: Shape, scale: float) -> Warp:
    """Give the crop that shows all of an image, as the network sees it in prediction.

    Notes
    -----
    The same resampling as in training, so that a network finds pixels where it learnt them.
    """
    return Warp(
        horizontal_flip=False,
        vertical_flip=False,
        angle=0.0,
        scale=scale,
        shift=(0.0, 0.0),
        shape=(math.ceil(shape[0] * scale), math.ceil(shape[1] * scale)),
    )
