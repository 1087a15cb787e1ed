"""Each family learns two synthetic images by heart, so that a broken loss cannot hide. Minutes."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.baselines.baseline_model import load_baseline
from cellflow.baselines.presets import preset
from cellflow.baselines.settings import CellChoice, DetectorSettings, ImageSettings, UNetSettings
from cellflow.baselines.train import train_baseline
from cellflow.config import AugmentConfig
from cellflow.data.dataset import Entry, masks_in_memory
from cellflow.data.images import write_png
from cellflow.data.rle import dense_to_masks, masks_to_dense
from cellflow.metrics.average_precision import average_precision
from cellflow.synth.samples import draw_field

SIDE = 64
"""Of the piece that is taken of each image, pixels."""
SCALE = 3
"""Network pixels per image pixel."""

SMALL_DETECTOR = DetectorSettings(
    backbone="resnet18",
    norm="group",
    pyramid_channels=64,
    box_features=256,
    anchor_sizes=(36, 72, 96, 128, 256),
    rpn_before_train=600,
    rpn_before_test=600,
    rpn_after_train=300,
    rpn_after_test=300,
    rois=96,
    detections=200,
)


def piece(folder, name, kind, seed):
    """The piece of a synthetic image that shows most cells, and those."""
    picture, masks = draw_field(kind, np.random.default_rng(seed))
    stack = masks_to_dense(masks)
    places = [
        (slice(y, y + SIDE), slice(x, x + SIDE))
        for y in range(0, stack.shape[1] - SIDE, 32)
        for x in range(0, stack.shape[2] - SIDE, 32)
    ]
    rows, columns = max(places, key=lambda place: stack[:, *place].any(axis=(1, 2)).sum())
    shown = stack[:, rows, columns]
    masks = dense_to_masks(shown[shown.sum(axis=(1, 2)) >= 30])
    write_png(folder / f"{name}.png", np.ascontiguousarray(picture[rows, columns]))
    return Entry(
        name=name,
        image_path=folder / f"{name}.png",
        read_masks=masks_in_memory(masks),
        cell_type=kind,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "iterations", "rate"),
    [("mask-rcnn", 300, 1e-3), ("cascade-mask-rcnn", 200, 1e-3), ("unet", 150, 5e-3)],
)
def test_two_images_are_learnt_by_heart(request, tmp_path, model, iterations, rate):
    if model != "unet":
        request.getfixturevalue("needs_torchvision")
    entries = [piece(tmp_path, "one", "cort", 1), piece(tmp_path, "two", "shsy5y", 2)]
    config = preset(model)
    config = replace(
        config,
        image=ImageSettings(scale=float(SCALE)),
        detector=SMALL_DETECTOR,
        unet=UNetSettings(channels_per_level=(16, 32, 64)),
        training=replace(
            config.training,
            iterations=iterations,
            validate_every=iterations,
            batch_size=2,
            crop_height=SCALE * SIDE,
            crop_width=SCALE * SIDE,
            optimizer="adamw",
            learning_rate=rate,
            warmup=20,
        ),
        augment=AugmentConfig(level="none"),
        cells=CellChoice(score_threshold=0.5 if model != "unet" else 0.0, min_area=10),
    )
    done = train_baseline(
        model, entries, [], config, tmp_path / "run", train_dir=tmp_path / "data", device="cpu"
    )
    found = load_baseline(done.folder, "cpu")
    scores = [
        average_precision(entry.read_masks(), found.predict(entry.load().image, entry.name).labels)
        for entry in entries
    ]
    assert np.mean([one.mean for one in scores]) >= 0.8
