"""The settings by name, and what they refuse."""

import pytest

from cellflow.baselines.presets import preset
from cellflow.baselines.settings import BaselineConfig
from cellflow.configfile import config_from_dict, config_to_dict, read_config
from cellflow.errors import ConfigError
from cellflow.training.schedule import learning_rates


def test_the_reports_preset_has_the_reports_numbers():
    config = preset("mask-rcnn", "report")
    training, image = config.training, config.image
    assert (training.optimizer, training.learning_rate, training.iterations) == (
        "sgd",
        5e-4,
        10_000,
    )
    assert (training.schedule, training.step_start) == ("step", 2000)
    assert (training.step_every, training.step_gamma) == (1000, 0.8)
    assert (image.grey, image.mean) == ("fixed", 127.965)
    assert config.augment.level == "flip+resize"
    assert config.detector.trainable_layers == 4


def test_the_reports_rate_falls_by_a_fifth_every_thousand_iterations():
    import numpy as np

    training = preset("mask-rcnn", "report").training
    steps = np.array([1500, 1999, 2000, 2999, 3000, 9999])
    rates = learning_rates(training.as_training_config(), training.iterations, 1, steps)
    np.testing.assert_allclose(rates / 5e-4, [1, 1, 0.8, 0.8, 0.64, 0.8**8])


def test_the_reports_resize_is_detectron2s_by_the_shorter_side():
    config = preset("mask-rcnn", "report")
    half = config.augment.scale_range / 2
    sides = [520 * config.image.scale * factor for factor in (1 - half, 1 + half)]
    assert sides == pytest.approx([640, 800], abs=1)
    assert config.training.crop_height >= sides[1] - 1
    assert config.training.crop_width >= 704 / 520 * sides[1] - 1


@pytest.mark.parametrize("model", ["mask-rcnn", "cascade-mask-rcnn", "unet"])
def test_settings_travel_through_dictionaries(model):
    config = preset(model)
    assert config_from_dict(config_to_dict(config), BaselineConfig) == config


def test_assignments_lie_over_the_preset():
    config = read_config(None, ["training.optimizer=adam"], None, preset("mask-rcnn", "report"))
    assert config.training.optimizer == "adam"
    assert config.detector.detections == 700


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: preset("yolo"), "unknown model 'yolo'; known: mask-rcnn, cascade-mask-rcnn, unet"),
        (lambda: preset("mask-rcnn", "fast"), "unknown preset 'fast'; known: report, best"),
        (lambda: preset("unet", "report"), "the U-Net only has best"),
    ],
)
def test_unknown_names_are_told_with_the_known_ones(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("detector.backbone=vgg16", "expected one of resnet18, resnet50, resnet101, found 'vgg16'"),
        ("detector.anchor_sizes=[8, 16]", "expected 5 sizes"),
        ("detector.trainable_layers=6", "expected 0 to 5, found 6"),
        ("detector.rpn_background=0.9", "rpn_background <= rpn_foreground"),
        ("training.crop_width=100", "a multiple of 32, found 100"),
        ("training.iterations=0", r"training\.iterations: expected > 0"),
        ("training.batch_size=0", r"training\.batch_size: expected > 0, found 0"),
        ("training.momentum=1", r"training\.momentum: expected 0 to 1"),
        ("training.schedule=one_cycle", "expected one of constant, step, cosine"),
        ("training.n_epochs=3", "unknown setting training.n_epochs"),
        ("cells.overlap_rule=max", "expected one of higher_score"),
        ("cells.score_threshold=2", "expected 0 to 1, found 2"),
        ("network.diam_mean=3", "unknown section 'network'"),
        ("image.std=0", "expected > 0"),
        ("image.mean=nan", r"image\.mean: expected a finite number, found nan"),
        ("training.learning_rate=inf", r"training\.learning_rate: expected a finite number"),
        ("unet.boundary_width=0", "expected > 0 px"),
        ("unet.boundary_weight=inf", r"unet\.boundary_weight: expected a finite number"),
        ("unet.channels_per_level=[2,2,2,2,2,2]", "expected 2 to 5 positive sizes"),
    ],
)
def test_settings_out_of_range_are_told(assignment, words):
    with pytest.raises(ConfigError, match=words):
        read_config(None, [assignment], None, preset("mask-rcnn"))
