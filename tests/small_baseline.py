"""A baseline that is small enough to be trained for a few steps in a test."""

from dataclasses import replace

from cellflow.baselines.presets import preset


def small_baseline(kind, precision, *, crop, batch_size):
    """Give the preset of a kind with a small detector, four iterations and two validations."""
    config = preset(kind)
    training = replace(
        config.training, iterations=4, batch_size=batch_size, validate_every=2,
        precision=precision, crop_height=crop, crop_width=crop, schedule="constant", warmup=1,
    )  # fmt: skip
    detector = replace(
        config.detector, backbone="resnet18", pyramid_channels=32, box_features=16, rois=16,
        rpn_before_train=50, rpn_before_test=50, rpn_after_train=20, rpn_after_test=20,
        detections=10,
    )  # fmt: skip
    return replace(config, training=training, detector=detector)
