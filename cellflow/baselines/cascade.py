"""Cascade Mask R-CNN, our own implementation from torchvision's parts.

How it works: there are three box heads in sequence. Each refines the boxes of the one before, and
learns from those boxes at a stricter IoU. At test time class probabilities are the mean of all
three, and the box is that of the last. The mask head learns from the proposals of the first stage.

References
----------
Cai and Vasconcelos, "Cascade R-CNN: Delving into High Quality Object Detection", CVPR 2018.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from cellflow.baselines.detectors import (
    BOX_BINS,
    build_mask_rcnn,
)
from cellflow.baselines.settings import DetectorSettings

from torchvision.models.detection._utils import BoxCoder, Matcher  # isort: skip
from torchvision.models.detection.faster_rcnn import TwoMLPHead  # isort: skip
from torchvision.models.detection.roi_heads import (  # isort: skip
    RoIHeads,
    maskrcnn_inference,
    maskrcnn_loss,
)
from torchvision.ops import boxes as box_ops  # isort: skip

STAGE_IOUS = (0.5, 0.6, 0.7)
"""IoU of a box with that of a cell from which on each stage matches the two."""
STAGE_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""Weights of the box corrections (x, y, width, height): later stages correct less."""
STAGE_LOSSES = (1.0, 0.5, 0.25)
"""Weight of each stage's losses."""
BETA = 1 / 9
"""Where the smooth L1 loss changes from quadratic to linear, as in torchvision's heads."""

SMALLEST_SIDE = 1e-2
"""Minimum side of a box, pixels: a box whose correction made it flat has no log of its size."""

Targets = list[dict[str, torch.Tensor]]
Sizes = list[tuple[int, int]]


def build_cascade(settings: DetectorSettings, n_classes: int, seed: int) -> Any:
    """Build a Cascade Mask R-CNN with random weights; for parameters see `build_mask_rcnn`."""
    network = build_mask_rcnn(settings, n_classes, seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network.roi_heads = CascadeRoIHeads(network.roi_heads, settings, n_classes + 1)
    return network


class CascadeRoIHeads(RoIHeads):  # type: ignore[misc]
    """Three stages of box heads instead of one.

    Parameters
    ----------
    single : torchvision RoIHeads
        The heads of a Mask R-CNN; pooling and mask head are reused.
    settings : DetectorSettings
    n_classes : int
        Including the background.
    """

    def __init__(self, single: Any, settings: DetectorSettings, n_classes: int) -> None:
        super().__init__(
            box_roi_pool=single.box_roi_pool,
            box_head=None,
            box_predictor=None,
            fg_iou_thresh=STAGE_IOUS[0],
            bg_iou_thresh=STAGE_IOUS[0],
            batch_size_per_image=settings.rois,
            positive_fraction=0.25,
            bbox_reg_weights=STAGE_WEIGHTS[0],
            score_thresh=settings.box_score,
            nms_thresh=settings.box_nms,
            detections_per_img=settings.detections,
            mask_roi_pool=single.mask_roi_pool,
            mask_head=single.mask_head,
            mask_predictor=single.mask_predictor,
        )
        n_inputs = settings.pyramid_channels * BOX_BINS**2
        stages = range(len(STAGE_IOUS))
        self.box_heads = nn.ModuleList(TwoMLPHead(n_inputs, settings.box_features) for _ in stages)
        self.box_predictors = nn.ModuleList(
            AgnosticPredictor(settings.box_features, n_classes) for _ in stages
        )
        self.matchers = [Matcher(iou, iou, allow_low_quality_matches=False) for iou in STAGE_IOUS]
        self.coders = [BoxCoder(weights) for weights in STAGE_WEIGHTS]

    def forward(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[torch.Tensor],
        image_shapes: Sizes,
        targets: Targets | None = None,
    ) -> tuple[list[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
        """Give the detections of every image; in training give the losses."""
        if self.training:
            return [], self._losses(features, proposals, image_shapes, targets or [])
        return self._detections(features, proposals, image_shapes), {}

    def _losses(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[torch.Tensor],
        image_shapes: Sizes,
        targets: Targets,
    ) -> dict[str, torch.Tensor]:
        self._enter(0)
        sampled, matched, labels, corrections = self.select_training_samples(proposals, targets)
        losses = {
            "loss_mask": self._mask_loss(features, sampled, matched, labels, image_shapes, targets)
        }
        for stage, share in enumerate(STAGE_LOSSES):
            if stage:
                labels, corrections = self._match_again(stage, sampled, targets)
            logits, found = self._box_stage(stage, features, sampled, image_shapes)
            class_loss, box_loss = stage_losses(logits, found, labels, corrections)
            losses[f"loss_classifier_{stage + 1}"] = share * class_loss
            losses[f"loss_box_reg_{stage + 1}"] = share * box_loss
            sampled = self._correct(stage, found, sampled, image_shapes)
        return losses

    def _detections(
        self, features: dict[str, torch.Tensor], proposals: list[torch.Tensor], image_shapes: Sizes
    ) -> list[dict[str, torch.Tensor]]:
        probabilities = []
        for stage in range(len(STAGE_IOUS)):
            self._enter(stage)
            logits, found = self._box_stage(stage, features, proposals, image_shapes)
            probabilities.append(functional.softmax(logits, dim=-1))
            if stage < len(STAGE_IOUS) - 1:
                proposals = self._correct(stage, found, proposals, image_shapes)
        mean = torch.stack(probabilities).mean(dim=0)
        # torchvision's next step expects logits, and one correction per class.
        one_a_class = found.repeat(1, mean.shape[1])
        boxes, scores, labels = self.postprocess_detections(
            mean.log(), one_a_class, proposals, image_shapes
        )
        masks = maskrcnn_inference(self._mask_logits(features, boxes, image_shapes), labels)
        parts = zip(boxes, scores, labels, masks, strict=True)
        return [
            dict(zip(("boxes", "scores", "labels", "masks"), part, strict=True)) for part in parts
        ]

    def _enter(self, stage: int) -> None:
        """Set torchvision's matcher and box coder to those of a stage."""
        self.proposal_matcher, self.box_coder = self.matchers[stage], self.coders[stage]

    def _box_stage(
        self,
        stage: int,
        features: dict[str, torch.Tensor],
        proposals: list[torch.Tensor],
        image_shapes: Sizes,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give class logits (R, n_classes) and box corrections (R, 4) of all proposals."""
        pooled = self.box_roi_pool(features, proposals, image_shapes)
        logits, corrections = self.box_predictors[stage](self.box_heads[stage](pooled))
        return logits, corrections

    def _correct(
        self,
        stage: int,
        corrections: torch.Tensor,
        proposals: list[torch.Tensor],
        image_shapes: Sizes,
    ) -> list[torch.Tensor]:
        """Give the corrected boxes of every image, without gradient."""
        boxes = self.coders[stage].decode(corrections.detach(), proposals).reshape(-1, 4)
        counts = [len(each) for each in proposals]
        parts = zip(boxes.split(counts), image_shapes, strict=True)
        return [box_ops.clip_boxes_to_image(part, shape) for part, shape in parts]

    def _match_again(
        self, stage: int, proposals: list[torch.Tensor], targets: Targets
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Give class and target correction of boxes that the previous stage has corrected."""
        self._enter(stage)
        boxes = [target["boxes"].to(proposals[0].dtype) for target in targets]
        matched, labels = self.assign_targets_to_proposals(
            proposals, boxes, [target["labels"] for target in targets]
        )
        wanted = [
            own[chosen] if len(own) else torch.zeros_like(given)
            for own, chosen, given in zip(boxes, matched, proposals, strict=True)
        ]
        corrections = self.box_coder.encode(_widened(wanted), _widened(proposals))
        return labels, list(corrections)

    def _mask_loss(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[torch.Tensor],
        matched: list[torch.Tensor],
        labels: list[torch.Tensor],
        image_shapes: Sizes,
        targets: Targets,
    ) -> torch.Tensor:
        positive = [torch.where(each > 0)[0] for each in labels]
        own = [given[at] for given, at in zip(proposals, positive, strict=True)]
        chosen = [given[at] for given, at in zip(matched, positive, strict=True)]
        logits = self._mask_logits(features, own, image_shapes)
        masks, kinds = ([target[key] for target in targets] for key in ("masks", "labels"))
        loss: torch.Tensor = maskrcnn_loss(logits, own, masks, kinds, chosen)
        return loss

    def _mask_logits(
        self, features: dict[str, torch.Tensor], boxes: list[torch.Tensor], image_shapes: Sizes
    ) -> torch.Tensor:
        pooled = self.mask_roi_pool(features, boxes, image_shapes)
        logits: torch.Tensor = self.mask_predictor(self.mask_head(pooled))
        return logits.float()


class AgnosticPredictor(nn.Module):
    """Class logits, and one box correction for all classes; float32 as in `detectors`."""

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(n_inputs, n_classes)
        self.bbox_pred = nn.Linear(n_inputs, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give (R, n_classes) and (R, 4)."""
        return self.cls_score(x).float(), self.bbox_pred(x).float()


def stage_losses(
    logits: torch.Tensor,
    corrections: torch.Tensor,
    labels: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the class loss and the box loss of a stage.

    Parameters
    ----------
    logits : (R, n_classes) float tensor
    corrections : (R, 4) float tensor
    labels : sequence of (r,) int64 tensors
        One per image, R in total; 0 = background.
    wanted : sequence of (r, 4) float tensors
        Target corrections.

    Returns
    -------
    scalar tensors
        Mean cross-entropy; smooth L1 of the boxes on cells, divided by the number of all boxes.
    """
    kinds, goals = torch.cat(list(labels)), torch.cat(list(wanted))
    on_cells = torch.where(kinds > 0)[0]
    box_loss = functional.smooth_l1_loss(
        corrections[on_cells], goals[on_cells], beta=BETA, reduction="sum"
    )
    return functional.cross_entropy(logits, kinds), box_loss / max(1, kinds.numel())


def _widened(images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Widen the boxes of every image to sides of at least `SMALLEST_SIDE`."""
    return [
        torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + SMALLEST_SIDE)], dim=1)
        for boxes in images
    ]
