"""Mask R-CNN or Cascade Mask R-CNN as a `Learner`: losses of examples, cells of images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from cellflow.baselines.cascade import build_cascade
from cellflow.baselines.detectors import build_mask_rcnn
from cellflow.baselines.examples import Example
from cellflow.baselines.learner import DetectedCells
from cellflow.baselines.mask_pasting import paste_masks
from cellflow.baselines.operators import load_torchvision
from cellflow.baselines.settings import BaselineConfig
from cellflow.records import Shape

N_CHANNELS = 3
"""Channels of a backbone's input; grey is repeated three times, as pretrained weights expect."""


class DetectorLearner:
    """A model that detects boxes and masks.

    Parameters
    ----------
    model : {"mask-rcnn", "cascade-mask-rcnn"}
    config : BaselineConfig
        From `settle`.
    n_classes : int
    """

    is_flat = False

    def __init__(self, model: str, config: BaselineConfig, n_classes: int) -> None:
        build = build_cascade if model == "cascade-mask-rcnn" else build_mask_rcnn
        self.network: Any = build(config.detector, n_classes, config.training.seed)
        self.operators = str(load_torchvision())

    def losses(
        self, examples: Sequence[Example], device: torch.device
    ) -> Mapping[str, torch.Tensor]:
        """Give the losses of proposals, classes, boxes and masks."""
        images = [_picture(torch.from_numpy(one.image).to(device)) for one in examples]
        losses: Mapping[str, torch.Tensor] = self.network(
            images, [_target(one, device) for one in examples]
        )
        return losses

    def find(self, seen: torch.Tensor, shape: Shape, config: BaselineConfig) -> DetectedCells:
        """Give the detections by descending score."""
        [found] = self.network([_picture(seen)])
        # The centre of the crop is the centre of the image, see `whole_image`.
        seen_middle = seen.new_tensor([seen.shape[2] / 2, seen.shape[1] / 2]).repeat(2)
        middle = seen.new_tensor([shape[1] / 2, shape[0] / 2]).repeat(2)
        boxes = (found["boxes"].float() - seen_middle) / config.image.scale + middle
        limit = config.detector.detections
        masks, kept = paste_masks(
            np.ascontiguousarray(found["masks"][:, 0].float().cpu().numpy()),
            np.ascontiguousarray(boxes.cpu().numpy()),
            shape,
            config.cells.mask_threshold,
        )
        return DetectedCells(
            masks=masks,
            scores=found["scores"].float().cpu().numpy()[kept].astype(np.float32),
            kinds=found["labels"].cpu().numpy()[kept] - 1,
            is_full=limit is not None and len(boxes) >= limit,
        )


def _picture(seen: torch.Tensor) -> torch.Tensor:
    return seen.expand(N_CHANNELS, -1, -1)


def _target(example: Example, device: torch.device) -> dict[str, torch.Tensor]:
    truth = example.truth
    return {
        "boxes": torch.from_numpy(truth.boxes).to(device),
        "labels": torch.full((len(truth.boxes),), example.kind + 1, device=device),
        "masks": torch.from_numpy(truth.masks).to(device),
    }
