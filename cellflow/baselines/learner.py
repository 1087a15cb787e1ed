"""What training and prediction ask of a model, whichever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.baselines.examples import Example
from cellflow.baselines.settings import BaselineConfig
from cellflow.records import CellMasks, Shape


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
            What the network sees: the image times the scale of the settings.
        shape : (H, W)
            Of the image itself, which the cells are for.
        config : BaselineConfig
        """


def resized_shape(shape: Shape, scale: float) -> Shape:
    """Give the size at which the network sees an image."""
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
