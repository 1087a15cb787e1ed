"""Mask R-CNN: what trains, what limits it, and that boxes mean the same everywhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cellflow.baselines.presets import preset

pytestmark = pytest.mark.usefixtures("needs_torchvision")


@pytest.fixture
def tiny(tiny_config):
    return tiny_config("mask-rcnn").detector


def build(settings, n_classes=3, seed=0):
    from cellflow.baselines.detectors import build_mask_rcnn

    return build_mask_rcnn(settings, n_classes, seed)


def trained(network):
    return {name for name, each in network.named_parameters() if each.requires_grad}


def test_four_trainable_layers_are_all_but_the_stem(tiny):
    network = build(replace(tiny, trainable_layers=4))
    every = {name for name, _ in network.named_parameters()}
    stem = {name for name in every if name.startswith(("backbone.body.conv1", "backbone.body.bn1"))}
    assert stem
    assert trained(network) == every - stem
    # torchvision's layer1 is Detectron2's res2, from which on the seed report trained.
    assert any(name.startswith("backbone.body.layer1.") for name in trained(network))


def test_no_trainable_layer_leaves_pyramid_and_heads(tiny):
    network = build(replace(tiny, trainable_layers=0))
    assert not any(name.startswith("backbone.body.") for name in trained(network))
    assert any(name.startswith("backbone.fpn.") for name in trained(network))
    assert any(name.startswith("roi_heads.") for name in trained(network))


def test_five_trainable_layers_are_all(tiny):
    network = build(replace(tiny, trainable_layers=5))
    assert trained(network) == {name for name, _ in network.named_parameters()}


def test_the_reports_preset_is_the_reports():
    settings = preset("mask-rcnn", "report").detector
    network = build(replace(settings, norm="frozen", pyramid_channels=16, box_features=16))
    rpn, heads = network.rpn, network.roi_heads
    assert rpn._pre_nms_top_n == {"training": 15_000, "testing": 10_000}
    assert rpn._post_nms_top_n == {"training": 3000, "testing": 2000}
    assert rpn.nms_thresh == 0.75
    assert (rpn.proposal_matcher.low_threshold, rpn.proposal_matcher.high_threshold) == (0.2, 0.7)
    assert rpn.anchor_generator.sizes == ((24,), (40,), (80,), (128,), (256,))
    assert set(rpn.anchor_generator.aspect_ratios) == {(0.33, 1.0, 3.0)}
    assert heads.fg_bg_sampler.batch_size_per_image == 512
    assert heads.detections_per_img == 700
    assert heads.mask_predictor.mask_fcn_logits.out_channels == 4  # three classes, background
    assert not any(name.startswith("backbone.body.conv1") for name in trained(network))


@pytest.mark.parametrize(("backbone", "n_blocks"), [("resnet50", 6), ("resnet101", 23)])
def test_the_backbones_have_the_depth_of_their_names(tiny, backbone, n_blocks):
    network = build(replace(tiny, backbone=backbone))
    assert len(network.backbone.body.layer3) == n_blocks


def test_weights_follow_from_the_seed_alone(tiny):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same, other = build(tiny, seed=3), build(tiny, seed=3), build(tiny, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    name = "roi_heads.box_head.fc6.weight"
    assert torch.equal(one.state_dict()[name], same.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])


def test_regions_are_pooled_from_the_stride_they_belong_to_whatever_the_image(tiny):
    pool = build(tiny).roi_heads.box_roi_pool
    features = {str(k): torch.full((1, 1, 64 >> k, 64 >> k), float(k)) for k in range(4)}
    boxes = torch.tensor([[4.0, 4.0, 20.0, 20.0], [0.0, 0.0, 250.0, 250.0]])
    levels = pool(features, [boxes], [(40, 40)])[:, 0, 3, 3]
    assert levels.tolist() == [0.0, 2.0]


def test_a_region_sees_the_features_at_its_own_place(tiny):
    """Boxes have the middle of pixel 0 at 0; a feature of stride 4 lies at every fourth of them."""
    pool = build(tiny).roi_heads.box_roi_pool
    x = torch.arange(64.0).expand(1, 1, 64, 64) * 4
    features = {"0": x, **{str(k): torch.zeros(1, 1, 64 >> k, 64 >> k) for k in (1, 2, 3)}}
    pooled = pool(features, [torch.tensor([[10.0, 10.0, 38.0, 38.0]])], [(256, 256)])[0, 0]
    expected = 10 + (np.arange(7) + 0.5) * 4
    np.testing.assert_allclose(pooled[3], expected, atol=1e-3)


def test_bfloat16_gives_boxes_in_float32(tiny):
    network = build(tiny)
    with torch.autocast("cpu", torch.bfloat16):
        logits, corrections = network.rpn.head([torch.randn(1, 32, 8, 8)])
        scores, boxes = network.roi_heads.box_predictor(torch.randn(5, 64))
    assert {each.dtype for each in (*logits, *corrections, scores, boxes)} == {torch.float32}


@pytest.mark.parametrize("shape", [(512, 512), (800, 1088), (721, 976)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_anchors_lie_at_the_pyramids_pixels_whatever_the_image(tiny, shape, dtype):
    network = build(tiny)  # one anchor a pixel
    images, _ = network.transform([torch.zeros(1, *shape)])
    height, width = images.tensors.shape[-2:]
    strides = [4, 8, 16, 32, 64]
    sizes = [(-(-height // stride), -(-width // stride)) for stride in strides]
    features = [torch.zeros((1, 1, *size), dtype=dtype) for size in sizes]
    [anchors] = network.rpn.anchor_generator(images, features)
    assert anchors.dtype == torch.float32
    for found, stride, (h, w) in zip(
        anchors.split([h * w for h, w in sizes]), strides, sizes, strict=True
    ):
        middles = (found[:, :2] + found[:, 2:]) / 2
        x, y = np.meshgrid(np.arange(w) * stride, np.arange(h) * stride)
        np.testing.assert_array_equal(middles, np.stack([x, y], axis=-1).reshape(-1, 2))
