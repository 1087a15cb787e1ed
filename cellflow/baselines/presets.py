"""Named settings of the baselines: those of the seed report, and our best.

``report`` has the settings that the report states for its Mask R-CNN. For the others it takes the
defaults of Detectron2, with which that model was built; ``docs/decisions/0801-baselines.md`` lists
both.
"""

from cellflow.baselines.settings import (
    MODELS,
    BaselineConfig,
    CellChoice,
    DetectorSettings,
    FitSettings,
    ImageSettings,
)
from cellflow.config import AugmentConfig
from cellflow.errors import ConfigError

REPORT, BEST = "report", "best"
PRESETS = (REPORT, BEST)

_REPORT_DETECTOR = DetectorSettings(
    anchor_sizes=(24, 40, 80, 128, 256),
    anchor_ratios=(0.33, 1.0, 3.0),
    rpn_background=0.2,
    rpn_foreground=0.7,
    rpn_before_train=15_000,
    rpn_before_test=10_000,
    rpn_after_train=3000,
    rpn_after_test=2000,
    rpn_nms=0.75,
    rois=512,
    detections=700,
    trainable_layers=4,
)

_REPORT = BaselineConfig(
    # Detectron2 resizes the shorter side to 640, 672 … 800 in training and to 800 in prediction:
    # 1.23 to 1.54 times the 520 px of the competition's images.
    image=ImageSettings(grey="fixed", mean=127.965, std=57.63, scale=1.385),
    detector=_REPORT_DETECTOR,
    training=FitSettings(
        iterations=10_000,
        batch_size=2,
        crop_height=800,
        crop_width=1088,
        optimizer="sgd",
        learning_rate=5e-4,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        step_start=2000,
        step_every=1000,
        step_gamma=0.8,
        warmup=1000,
        gradient_clip=None,
    ),
    augment=AugmentConfig(level="flip+resize", scale_range=0.222),
)

_BEST = BaselineConfig()

_UNET = BaselineConfig(
    # As cellflow's own networks see the competition's cells.
    image=ImageSettings(scale=1.5),
    training=FitSettings(
        batch_size=8,
        crop_height=256,
        crop_width=256,
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=1e-5,
        warmup=200,
    ),
    cells=CellChoice(score_threshold=0.0),
)


def preset(model: str, name: str = BEST) -> BaselineConfig:
    """Give the settings of a model by name.

    Parameters
    ----------
    model : {"mask-rcnn", "cascade-mask-rcnn", "unet"}
    name : {"report", "best"}
        The U-Net has only ``best``: the report gives no numbers for it.

    Raises
    ------
    ConfigError
        An unknown model or preset; the known ones are listed.
    """
    if model not in MODELS:
        raise ConfigError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    if model == "unet":
        if name != BEST:
            raise ConfigError(f"--preset {name}: the U-Net only has {BEST}")
        return _UNET
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return _REPORT if name == REPORT else _BEST
