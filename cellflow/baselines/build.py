"""Build a model by its name, after filling in the settings that are left open."""

from dataclasses import replace

from cellflow.baselines.initial_weights import is_for_frozen_norms, read_weights, take_weights
from cellflow.baselines.learner import Learner
from cellflow.baselines.settings import MODELS, RANDOM, BaselineConfig
from cellflow.errors import ConfigError

ALL_LAYERS = 5
"""Number of layers of a backbone, including its first convolution."""

LEAST_DETECTIONS = 1000
"""Lowest default limit of detections per image; torchvision's 100 hides most of a dense image."""


def build_learner(model: str, config: BaselineConfig, n_classes: int) -> Learner:
    """Give a model with random weights.

    Parameters
    ----------
    model : {"mask-rcnn", "cascade-mask-rcnn", "unet"}
    config : BaselineConfig
        From `settle`.
    n_classes : int
        Number of classes of cells.

    Raises
    ------
    ConfigError
        An unknown model.
    ModelError
        It needs torchvision, which is missing or broken.
    """
    if model == "unet":
        from cellflow.baselines.unet import UNetLearner

        return UNetLearner(config)
    if model not in MODELS:
        raise ConfigError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    from cellflow.baselines.operators import load_torchvision

    load_torchvision()
    from cellflow.baselines.detector_learner import DetectorLearner

    return DetectorLearner(model, config, n_classes)


def settle(config: BaselineConfig, init: str, densest: int) -> BaselineConfig:
    """Fill in all settings that are left open.

    Parameters
    ----------
    config : BaselineConfig
    init : str
        ``random`` or the path of weights.
    densest : int
        Number of cells in the densest training image.

    Raises
    ------
    ModelError
        The weights are missing or broken.
    """
    detector = config.detector
    if detector.detections is None:
        detector = replace(detector, detections=max(LEAST_DETECTIONS, 2 * densest))
    if init == RANDOM:
        detector = replace(detector, trainable_layers=ALL_LAYERS)
    if detector.norm == "auto":
        has_norms = init != RANDOM and is_for_frozen_norms(read_weights(init, detector.backbone))
        detector = replace(detector, norm="frozen" if has_norms else "group")
    return replace(config, detector=detector)


def start_from(learner: Learner, init: str, config: BaselineConfig) -> str:
    """Load initial weights into a new model, and describe what was loaded."""
    if init == RANDOM:
        return "random initial weights: all layers train"
    taken = take_weights(learner.network, read_weights(init, config.detector.backbone), init)
    return f"initial weights {init}: {taken}"
