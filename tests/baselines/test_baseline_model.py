"""Prediction: the network sees what training showed it, and cells come back where they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from cellflow.baselines.baseline_model import Baseline
from cellflow.baselines.examples import ExampleSource
from cellflow.baselines.learner import DetectedCells, whole_image
from cellflow.baselines.presets import preset
from cellflow.baselines.settings import CellChoice, ImageSettings
from cellflow.baselines.truth_crops import crop_masks
from cellflow.baselines.unet import UNetLearner, pixel_classes
from cellflow.config import AugmentConfig
from cellflow.data.rle import labels_to_masks, masks_to_dense
from cellflow.errors import ModelError
from cellflow.metrics.average_precision import average_precision
from cellflow.records import CellMasks


def baseline(learner, config):
    return Baseline(
        name="x", learner=learner, classes=("cort",), config=config, device=torch.device("cpu")
    )


class Onlooker:
    """A learner that keeps what it is shown, and finds nothing."""

    network = torch.nn.Identity()

    def find(self, seen, shape, config):
        self.seen, self.shape = seen.numpy(), shape
        return DetectedCells(
            masks=CellMasks.empty(shape),
            scores=np.zeros(0, np.float32),
            kinds=np.zeros(0, np.int64),
        )


@pytest.mark.parametrize("grey", ["percentile", "fixed"])
def test_the_network_sees_the_very_pixels_that_it_was_trained_on(disc_entries, grey):
    [entry] = disc_entries(1)  # 64x80
    config = preset("unet")
    config = replace(
        config,
        image=ImageSettings(grey=grey, scale=2.0),
        training=replace(config.training, batch_size=1, crop_height=128, crop_width=160),
        augment=AugmentConfig(level="none"),
    )
    [example] = ExampleSource(entries=[entry], kinds=[0], config=config).batch(0)
    onlooker = Onlooker()
    baseline(onlooker, config).predict(entry.load().image, "x")
    assert onlooker.shape == (64, 80)
    assert np.array_equal(onlooker.seen, example.image)


@pytest.mark.parametrize("scale", [0.75, 1.0, 1.5, 2.0, 3.0])
def test_a_detectors_boxes_and_masks_come_back_to_their_pixels(tiny_config, scale):
    from cellflow.baselines.detector_learner import DetectorLearner

    truth = np.zeros((31, 43), np.int32)
    truth[5:14, 8:20], truth[20:31, 30:43] = 1, 2
    config = replace(tiny_config("mask-rcnn"), image=ImageSettings(scale=scale))
    learner = DetectorLearner("mask-rcnn", config, 1)
    warp = whole_image(truth.shape, scale)
    # Where the cells' edges lie in what the network sees: the middle shows the middle.
    middle = np.array([warp.shape[1], warp.shape[0]] * 2) / 2
    edges = np.array([[7.5, 4.5, 19.5, 13.5], [29.5, 19.5, 42.5, 30.5]])
    boxes = (edges - np.array([43, 31] * 2) / 2) * scale + middle
    answer = {
        "boxes": torch.from_numpy(boxes).float(),
        "scores": torch.tensor([0.9, 0.8]),
        "labels": torch.tensor([1, 1]),
        "masks": torch.ones((2, 1, 28, 28)),
    }
    learner.network = lambda images: [answer]
    found = learner.find(torch.zeros((1, *warp.shape)), truth.shape, config)
    expected = np.stack([truth == 1, truth == 2])
    assert (masks_to_dense(found.masks) == expected).all()


@pytest.mark.parametrize("scale", [1.0, 1.5, 2.0, 3.0])
def test_a_perfect_unet_gives_touching_cells_back(monkeypatch, scale):
    truth = np.zeros((60, 70), np.int32)
    for number, (y, x) in enumerate([(5, 5), (5, 17), (17, 5), (40, 30), (49, 30), (48, 57)], 1):
        truth[y : y + 12, x : x + 12] = number
    config = replace(
        preset("unet"), image=ImageSettings(scale=scale), cells=CellChoice(score_threshold=0.0)
    )
    warp = whole_image(truth.shape, scale)
    seen = np.zeros(warp.shape, np.int32)
    for number, mask in enumerate(crop_masks(labels_to_masks(truth), warp), 1):
        seen[mask > 0] = number
    classes = pixel_classes(seen, config.unet.boundary_width)
    perfect = torch.from_numpy(np.stack([classes == k for k in range(3)])).float()[None] * 20

    def logits(self, images):
        height, width = images.shape[2:]
        whole = torch.zeros((1, 3, height, width))
        whole[:, 0] = 20
        whole[..., : warp.shape[0], : warp.shape[1]] = perfect
        return whole

    monkeypatch.setattr(UNetLearner, "_logits", logits)
    learner = UNetLearner(replace(config, unet=replace(config.unet, channels_per_level=(4, 8))))
    picture = np.random.default_rng(0).integers(0, 255, truth.shape).astype(np.uint8)
    labels = baseline(learner, config).predict(picture, "x").labels
    precision = average_precision(truth, labels)
    assert precision.n_predicted == 6
    assert precision.mean > 0.9


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.75])
def test_a_unet_that_sees_less_finds_nothing_more_at_the_images_end(monkeypatch, scale):
    shape = (64, 80)
    config = replace(preset("unet"), image=ImageSettings(scale=scale))
    warp = whole_image(shape, scale)
    # Nothing but one cell, which the image's end cuts.
    perfect = torch.zeros((1, 3, *warp.shape))
    perfect[:, 0], perfect[:, :, 2:, 4:8] = 20, 0
    perfect[:, 1, 2:, 4:8] = 20

    def logits(self, images):
        return functional.pad(
            perfect,
            (0, images.shape[3] - warp.shape[1], 0, images.shape[2] - warp.shape[0]),
        )

    monkeypatch.setattr(UNetLearner, "_logits", logits)
    learner = UNetLearner(replace(config, unet=replace(config.unet, channels_per_level=(4, 8))))
    picture = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    labels = baseline(learner, config).predict(picture, "x").labels
    assert labels.max() == 1
    columns = np.flatnonzero((labels > 0).any(axis=0))
    assert len(columns) == pytest.approx(4 / scale, abs=1)
    assert labels[-1].any()


def test_memory_that_runs_out_is_one_line_that_says_what_to_lower():
    class Full(Onlooker):
        def find(self, seen, shape, config):
            raise RuntimeError("CUDA out of memory")

    with pytest.raises(ModelError, match=r"not enough memory for an image of 8x9 px .* lower"):
        baseline(Full(), preset("unet")).predict(np.zeros((8, 9), np.uint8))
