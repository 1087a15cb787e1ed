"""`cellflow baseline`: train and run the models that cellflow's own are compared with."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from .options import (
    EXISTING,
    PATH,
    budget_from,
    config_from,
    config_options,
    device_option,
    output_options,
    outputs_from,
    tell_found,
    training_options,
)
from .progress import Progress

SETTING = "__"
"""Separates section and key in the names of options that stand for a setting."""

ADVICE = (
    "was the model trained long enough, and on images like these? --set cells.score_threshold and "
    "cells.min_area decide which cells count"
)
"""Printed if no cells were found."""


@click.group()
def command() -> None:
    """Train and run Mask R-CNN, Cascade Mask R-CNN and a semantic U-Net."""


@command.command()
@click.option("--model", required=True, metavar="mask-rcnn|cascade-mask-rcnn|unet")
@click.option(
    "--train-dir", "--train_dir", type=EXISTING, required=True, help="As for `cellflow train`."
)
@click.option("--out", type=PATH, required=True, help="The run's folder.")
@click.option("--preset", "preset_name", default="best", show_default=True, metavar="best|report")
@click.option("--backbone", "detector__backbone", metavar="resnet50|resnet101|resnet18")
@click.option(
    "--init",
    default="random",
    show_default=True,
    metavar="random|PATH",
    help="Initial weights: a file of torchvision (ImageNet or COCO) or a baseline's folder.",
)
@click.option(
    "--iterations", "training__iterations", type=int, help="Number of iterations.  [default: 10000]"
)
@click.option(
    "--batch-size",
    "--batch_size",
    "training__batch_size",
    type=int,
    help="Crops per iteration.  [default: 4]",
)
@click.option(
    "--learning-rate",
    "--learning_rate",
    "training__learning_rate",
    type=float,
    help="Peak rate.  [default: 0.005]",
)
@click.option(
    "--validation-share",
    type=float,
    default=0.2,
    show_default=True,
    help="Share of the images to hold out without --folds.",
)
@click.option(
    "--pretrain-dir",
    "pretrain_dirs",
    type=EXISTING,
    multiple=True,
    help="Annotated images to train on first, such as LIVECell.",
)
@training_options
def train(
    model: str,
    preset_name: str,
    config_file: Path | None,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Train a baseline on the same folds and augmentation as `cellflow train`.

    \b
    cellflow baseline train --model mask-rcnn --preset report --train-dir DATA --out runs/rcnn

    The same command continues an unfinished run. mask-rcnn and cascade-mask-rcnn need torchvision:
    pip install 'cellflow[rcnn]'.
    """
    from cellflow.baselines.presets import preset
    from cellflow.baselines.train import train_on_folder

    budget_from(options)
    named = {name: options.pop(name) for name in list(options) if SETTING in name}
    config = config_from(config_file, assignments, base=preset(model, preset_name), **named)
    say = partial(tqdm.write, file=sys.stderr)
    with Progress("training") as progress:
        folder = train_on_folder(model, config=config, report=progress, say=say, **options)
    click.echo(folder)


@command.command()
@click.argument("images", type=EXISTING, nargs=-1, required=True)
@click.option("--model", "folder", type=EXISTING, required=True, help="A trained baseline.")
@output_options
@click.option("--overlays", type=PATH, help="Folder for drawings of the outlines on every image.")
@click.option("--restart", is_flag=True, help="Discard the results of an interrupted run.")
@device_option
@config_options
def predict(
    images: tuple[Path, ...],
    folder: Path,
    device: str,
    config_file: Path | None,
    assignments: tuple[str, ...],
    **options: Any,
) -> None:
    """Find the cells in IMAGES: a folder, image files, or the competition's folder.

    \b
    cellflow baseline predict images/ --model runs/rcnn --out submission.csv
    cellflow baseline predict images/ --model runs/rcnn --out found.json --set cells.min_area=75
    """
    from cellflow.baselines.baseline_model import load_baseline
    from cellflow.baselines.predict_images import predict_images
    from cellflow.data.images import find_images
    from cellflow.errors import DataError
    from cellflow.wording import counted

    paths, outputs = find_images(images), outputs_from(options)
    say = partial(tqdm.write, file=sys.stderr)
    baseline = load_baseline(
        folder,
        device,
        change=lambda base: config_from(config_file, assignments, base=base),
        say=say,
    )
    say(f"{baseline.name} on {baseline.device}; operators: {baseline.learner.operators}")
    with Progress("predict", total=len(paths), unit="image") as progress:
        result = predict_images(baseline, paths, outputs, report=progress, say=say, **options)
    tell_found(result)
    if result.n_images and not result.n_cells:
        click.echo(f"no cell in any image: {ADVICE}", err=True)
    if result.failures:
        raise DataError(f"{counted(len(result.failures), 'image')} could not be processed")
