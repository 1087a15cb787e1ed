"""Mask R-CNN from torchvision's parts, for crops that are already normalised and resized.

To be imported only after torchvision is known to work, see `operators`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cellflow.baselines.operators import load_torchvision
from cellflow.baselines.settings import DetectorSettings

load_torchvision()  # Must precede the following imports, which fail without operators.

from torchvision.models import resnet  # noqa: E402
from torchvision.models.detection.anchor_utils import AnchorGenerator  # noqa: E402
from torchvision.models.detection.backbone_utils import BackboneWithFPN  # noqa: E402
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead  # noqa: E402
from torchvision.models.detection.mask_rcnn import (  # noqa: E402
    MaskRCNN,
    MaskRCNNHeads,
    MaskRCNNPredictor,
)
from torchvision.models.detection.rpn import RPNHead  # noqa: E402
from torchvision.models.detection.transform import GeneralizedRCNNTransform  # noqa: E402
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign  # noqa: E402
from torchvision.ops.poolers import initLevelMapper  # noqa: E402

LAYERS = ("layer4", "layer3", "layer2", "layer1", "conv1")
"""Layers of a ResNet, last one first; ``conv1`` includes its norm, ``bn1``."""

BOX_BINS, MASK_BINS, MASK_SIDE = 7, 14, 28
"""Bins per side of a region for the box head and the mask head, and the mask head's output side."""

LEVELS = ("0", "1", "2", "3")
"""torchvision's names of the pyramid levels that regions are pooled from."""
STRIDE_POWERS = (2, 3, 4, 5)
"""Their strides as powers of 2: a pixel of level 0 spans 4 network pixels."""
ANCHOR_STRIDES = tuple(2**power for power in (*STRIDE_POWERS, STRIDE_POWERS[-1] + 1))
"""Strides of the levels with anchors: one more, which is every second pixel of the coarsest."""

GROUPS = 32
"""Groups of group normalisation, as in Wu and He, "Group Normalization", ECCV 2018."""


def build_mask_rcnn(settings: DetectorSettings, n_classes: int, seed: int) -> Any:
    """Build a Mask R-CNN with random weights.

    Parameters
    ----------
    settings : DetectorSettings
        With `norm` and `detections` filled in.
    n_classes : int
        Number of classes of cells, without the background.
    seed : int
        Of the weights; the state of torch's global generator is not changed.

    Returns
    -------
    torchvision MaskRCNN
        In its boxes the centre of pixel 0 lies at 0; its masks stay `MASK_SIDE` pixels wide.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _build(settings, n_classes + 1)


def _build(settings: DetectorSettings, n_classes: int) -> Any:
    channels = settings.pyramid_channels
    network = MaskRCNN(
        _backbone(settings),
        rpn_anchor_generator=FixedAnchors(
            tuple((size,) for size in settings.anchor_sizes),
            (settings.anchor_ratios,) * len(settings.anchor_sizes),
        ),
        rpn_head=FullPrecisionRPNHead(channels, len(settings.anchor_ratios)),
        rpn_pre_nms_top_n_train=settings.rpn_before_train,
        rpn_pre_nms_top_n_test=settings.rpn_before_test,
        rpn_post_nms_top_n_train=settings.rpn_after_train,
        rpn_post_nms_top_n_test=settings.rpn_after_test,
        rpn_nms_thresh=settings.rpn_nms,
        rpn_fg_iou_thresh=settings.rpn_foreground,
        rpn_bg_iou_thresh=settings.rpn_background,
        rpn_batch_size_per_image=settings.rpn_samples,
        box_roi_pool=_region_pool(BOX_BINS),
        box_head=TwoMLPHead(channels * BOX_BINS**2, settings.box_features),
        box_predictor=FullPrecisionBoxPredictor(settings.box_features, n_classes),
        box_score_thresh=settings.box_score,
        box_nms_thresh=settings.box_nms,
        box_detections_per_img=settings.detections,
        box_batch_size_per_image=settings.rois,
        mask_roi_pool=_region_pool(MASK_BINS),
        mask_head=MaskRCNNHeads(channels, (channels,) * 4, dilation=1),
        mask_predictor=MaskRCNNPredictor(channels, channels, n_classes),
    )
    network.transform = CropTransform()
    return network


def _region_pool(n_bins: int) -> Any:
    """Give the pooling of regions from the pyramid.

    Notes
    -----
    The strides are set here; torchvision infers them from the first image, wrongly if it is small.
    """
    pool = MultiScaleRoIAlign(list(LEVELS), n_bins, sampling_ratio=2)
    pool.scales = [2.0**-power for power in STRIDE_POWERS]
    pool.map_levels = initLevelMapper(STRIDE_POWERS[0], STRIDE_POWERS[-1])
    return pool


def _backbone(settings: DetectorSettings) -> Any:
    body = getattr(resnet, settings.backbone)(weights=None, norm_layer=_norm(settings.norm))
    trained = LAYERS[: settings.trainable_layers]
    if "conv1" in trained:
        trained = (*trained, "bn1")
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    narrowest = body.inplanes // 8
    return BackboneWithFPN(
        body,
        {f"layer{k + 1}": LEVELS[k] for k in range(4)},
        [narrowest * 2**k for k in range(4)],
        settings.pyramid_channels,
    )


def _norm(name: str) -> Callable[[int], nn.Module]:
    if name == "group":
        return lambda n_channels: nn.GroupNorm(GROUPS, n_channels)
    norm: Callable[[int], nn.Module] = FrozenBatchNorm2d if name == "frozen" else nn.BatchNorm2d
    return norm


class CropTransform(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Batches crops as they are: not normalised or resized, and masks are not pasted into images.

    Notes
    -----
    torchvision would paste each mask into an array of the whole image, 2 GB for a dense one, with
    box corners rounded to whole pixels; `mask_pasting` avoids both.
    """

    def __init__(self) -> None:
        super().__init__(min_size=1, max_size=1, image_mean=[0.0], image_std=[1.0])

    def normalize(self, image: torch.Tensor) -> torch.Tensor:
        """Give the image unchanged."""
        return image

    def resize(self, image: torch.Tensor, target: Any = None) -> Any:
        """Give image and target unchanged."""
        return image, target

    def postprocess(self, result: Any, image_shapes: Any, original_image_sizes: Any) -> Any:
        """Give the boxes and masks unchanged."""
        return result


class FixedAnchors(AnchorGenerator):  # type: ignore[misc]
    """Anchors at the centres of the pyramid's pixels, in float32.

    Notes
    -----
    torchvision computes a stride as image size // level size, 61 instead of 64 for the coarsest
    level of 800 pixels, so its anchors would lie elsewhere in prediction than in training; and it
    computes coordinates in the features' dtype, which may be bfloat16.
    """

    def forward(self, image_list: Any, feature_maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Give the corners of all anchors, (A, 4) for every image."""
        device = feature_maps[0].device
        self.set_cell_anchors(torch.float32, device)
        sizes = [list(each.shape[-2:]) for each in feature_maps]
        strides = [[stride, stride] for stride in ANCHOR_STRIDES]
        anchors = torch.cat(self.grid_anchors(sizes, strides))
        return [anchors] * len(image_list.image_sizes)


class FullPrecisionRPNHead(RPNHead):  # type: ignore[misc]
    """An RPN head with float32 output even in bfloat16, which is too coarse for coordinates."""

    def forward(self, x: Any) -> Any:
        """Give logits and box corrections of every level."""
        logits, corrections = super().forward(x)
        return [each.float() for each in logits], [each.float() for each in corrections]


class FullPrecisionBoxPredictor(FastRCNNPredictor):  # type: ignore[misc]
    """The same for the box head."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give class logits and box corrections of every region."""
        logits, corrections = super().forward(x)
        return logits.float(), corrections.float()
