"""The semantic U-Net as a `Learner`: background, inside and boundary of cells, then a watershed.

The network's body is Cellpose's U-Net, as in cellflow's own models, with three output classes: it
differs from them in the target and the conversion to cells, not in capacity.

References
----------
Ronneberger et al., "U-Net", MICCAI 2015; the boundary as a class of its own as in Caicedo et al.,
"Evaluation of Deep Learning Strategies for Nucleus Segmentation", Cytometry A 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from cellflow.baselines.examples import Example
from cellflow.baselines.flooding import flood
from cellflow.baselines.learner import DetectedCells, whole_image
from cellflow.baselines.settings import BaselineConfig, UNetSettings
from cellflow.config import NetworkConfig
from cellflow.data.label_images import keep_labels
from cellflow.data.rle import labels_to_masks
from cellflow.network.cpnet import N_INPUTS, build_network
from cellflow.records import Shape
from cellflow.training.augment import Warp, crop_picture, crop_to_image

BACKGROUND, INSIDE, BOUNDARY = range(3)
"""The three outputs."""


class UNetLearner:
    """Predicts whether each pixel is background, inside a cell or on its boundary."""

    is_flat = True
    operators = "none of torchvision"

    def __init__(self, config: BaselineConfig) -> None:
        sizes = NetworkConfig(channels_per_level=config.unet.channels_per_level)
        generator = torch.Generator().manual_seed(config.training.seed)
        self.network = build_network(sizes, generator)
        self._settings = config.unet

    def losses(
        self, examples: Sequence[Example], device: torch.device
    ) -> Mapping[str, torch.Tensor]:
        """Give the cross-entropy of the classes; boundaries weigh more, holes are left out."""
        images = torch.from_numpy(np.stack([one.image for one in examples])).to(device)
        classes = [example_classes(one, self._settings) for one in examples]
        weights = np.stack([one.weights * one.inside for one in examples])
        goal = torch.from_numpy(np.stack(classes)).to(device)
        counted = torch.from_numpy(weights).to(device)
        by_class = images.new_tensor([1.0, 1.0, self._settings.boundary_weight])
        losses = functional.cross_entropy(self._logits(images), goal, by_class, reduction="none")
        return {"loss_classes": (losses * counted).sum() / counted.sum().clamp(min=1)}

    def find(self, seen: torch.Tensor, shape: Shape, config: BaselineConfig) -> DetectedCells:
        """Give the cells of the watershed; a score is the mean probability of being in a cell."""
        logits = self._logits(_padded(seen[None], len(config.unet.channels_per_level)))
        shares = functional.softmax(logits[..., : seen.shape[1], : seen.shape[2]], dim=1)
        here = np.ascontiguousarray(shares[0].cpu().numpy())
        back = replace(whole_image(shape, 1.0), scale=1 / config.image.scale)
        there = crop_picture(here, back, len(here)).image
        there /= there.sum(axis=0)  # the sum is below 1 at pixels that lie partly outside
        markers = _at_pixels(find_markers(here, config.unet), back)
        labels = divide_cells(there, markers, config.unet)
        n_cells = int(labels.max(initial=0))
        numbers = np.arange(1, n_cells + 1)
        scores = ndimage.mean(1 - there[BACKGROUND], labels, numbers) if n_cells else np.zeros(0)
        return DetectedCells(
            masks=labels_to_masks(labels),
            scores=np.clip(scores, 0, 1).astype(np.float32),
            kinds=np.full(n_cells, -1, np.int64),
        )

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """Give (B, 3, h, w) float32 of (B, 1, h, w)."""
        empty = images.new_zeros((len(images), N_INPUTS - 1, *images.shape[2:]))
        output: torch.Tensor = self.network(torch.cat([images, empty], dim=1))[0]
        return output.float()


def example_classes(example: Example, settings: UNetSettings) -> NDArray[np.int64]:
    """Give the class of each pixel of an example, (h, w) int64."""
    labels = np.zeros(example.weights.shape, np.int32)
    for number, mask in enumerate(example.truth.masks, 1):
        labels[mask > 0] = number
    return pixel_classes(labels, settings.boundary_width)


def pixel_classes(labels: NDArray[np.int32], boundary_width: int) -> NDArray[np.int64]:
    """Give the class of each pixel of a label image.

    Parameters
    ----------
    labels : (H, W) int32
    boundary_width : int
        A pixel of a cell is boundary if anything else lies within this distance, in a square.

    Examples
    --------
    >>> pixel_classes(np.array([[0, 1, 1, 1, 2, 2, 2]] * 3, np.int32), 1)[1]
    array([0, 2, 1, 2, 2, 1, 1])
    """
    side = 2 * boundary_width + 1
    lowest, highest = ndimage.minimum_filter(labels, side), ndimage.maximum_filter(labels, side)
    classes = np.where(labels > 0, INSIDE, BACKGROUND)
    classes[(labels > 0) & (lowest != highest)] = BOUNDARY
    return classes.astype(np.int64)


def find_markers(shares: NDArray[np.float32], settings: UNetSettings) -> NDArray[np.int32]:
    """Give the connected inner parts of the foreground.

    Parameters
    ----------
    shares : (3, h, w) float32
        Probabilities of background, inside and boundary at the network's resolution: at that of the
        image the rims of touching cells may be thinner than a pixel.
    settings : UNetSettings

    Returns
    -------
    (h, w) int32
        1…N, 0 elsewhere.
    """
    foreground = 1 - shares[BACKGROUND] >= settings.foreground_threshold
    inner = (shares[INSIDE] >= settings.marker_threshold) & foreground
    markers: NDArray[np.int32] = ndimage.label(inner)[0].astype(np.int32)
    return markers


def divide_cells(
    shares: NDArray[np.float32], markers: NDArray[np.int32], settings: UNetSettings
) -> NDArray[np.int32]:
    """Flood the foreground from the markers.

    Parameters
    ----------
    shares : (3, H, W) float32
        Probabilities of background, inside and boundary.
    markers : (H, W) int32
    settings : UNetSettings

    Returns
    -------
    (H, W) int32
        0 background, cells 1…N without gaps; foreground without a marker belongs to no cell.
    """
    foreground = 1 - shares[BACKGROUND] >= settings.foreground_threshold
    labels = flood(1 - shares[INSIDE], markers, foreground)
    return keep_labels(labels, np.bincount(labels.ravel(), minlength=1)[1:] > 0)


def _at_pixels(labels: NDArray[np.int32], back: Warp) -> NDArray[np.int32]:
    """Sample labels at the centres of an image's pixels, by nearest neighbour."""
    matrix = crop_to_image(back, (labels.shape[0], labels.shape[1]))
    # At half the size, centres of the outermost pixels may lie half a pixel outside.
    rows, columns = (
        np.rint(matrix[axis, axis] * np.arange(n) + matrix[axis, 2])
        .astype(np.int64)
        .clip(0, labels.shape[axis] - 1)
        for axis, n in enumerate(back.shape)
    )
    sampled: NDArray[np.int32] = labels[np.ix_(rows, columns)]
    return sampled


def _padded(images: torch.Tensor, n_levels: int) -> torch.Tensor:
    """Pad below and on the right with 0, which is what the network sees outside images."""
    step = 2 ** (n_levels - 1)
    height, width = images.shape[2:]
    return functional.pad(images, (0, -width % step, 0, -height % step))
