"""Models so small that they train in seconds, and data of discs for them."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from drawn_discs import disc_entry

from cellflow.baselines.presets import preset
from cellflow.baselines.settings import DetectorSettings, UNetSettings
from cellflow.config import AugmentConfig

HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None

TINY_DETECTOR = DetectorSettings(
    backbone="resnet18",
    norm="group",
    trainable_layers=5,
    pyramid_channels=32,
    box_features=64,
    anchor_sizes=(12, 16, 32, 64, 128),
    anchor_ratios=(1.0,),
    rpn_before_train=200,
    rpn_before_test=200,
    rpn_after_train=100,
    rpn_after_test=100,
    rois=64,
    detections=50,
)
"""Few channels, few proposals."""


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all tests here."""


@pytest.fixture
def needs_torchvision():
    """Skip without the extra."""
    if not HAS_TORCHVISION:
        pytest.skip("the extra [rcnn] is not installed")


@pytest.fixture
def tiny_config(request):
    """Settings of a run of seconds; ``tiny_config("unet", iterations=3)`` sets training options."""

    def make(model, **training):
        if model != "unet":
            request.getfixturevalue("needs_torchvision")
        config = preset(model)
        chosen = {
            "iterations": 4, "batch_size": 2, "crop_height": 64, "crop_width": 64,
            "learning_rate": 0.01, "validate_every": 2, "warmup": 2, "schedule": "constant",
            **training,
        }  # fmt: skip
        return replace(
            config,
            detector=TINY_DETECTOR,
            unet=UNetSettings(channels_per_level=(8, 16)),
            training=replace(config.training, **chosen),
            augment=AugmentConfig(level="flip+resize"),
        )

    return make


@pytest.fixture
def disc_entries(tmp_path):
    """Make `n` entries of discs."""

    def make(n, seed=1, **how):
        rng = np.random.default_rng(seed)
        return [disc_entry(tmp_path, f"disc{seed}-{k}", rng, **how) for k in range(n)]

    return make
