"""`cellflow train`: from annotated images to a model folder."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from cellflow.processors import is_first_process

from .options import (
    EXISTING,
    PATH,
    budget_from,
    channel_options,
    channels_from,
    config_from,
    training_options,
)
from .progress import Progress

SETTING = "training__"
"""Prefix of options that stand for the training setting of that name."""


@click.command()
@click.option(
    "--train-dir",
    "--train_dir",
    "--dir",
    type=EXISTING,
    required=True,
    help="Annotated images: Kaggle folder, Cellpose pairs, COCO, images/ + masks/.",
)
@click.option("--out", type=PATH, help="The run's folder.  [default: next free runs/train-NNN]")
@click.option(
    "--init",
    "--pretrained_model",
    "init",
    metavar="cyto3|cyto2|livecell_cp3|PATH|scratch",
    help="Weights to start from.  [default: cyto3]",
)
@click.option(
    "--epochs",
    "--n-epochs",
    "--n_epochs",
    "training__n_epochs",
    type=int,
    help="Maximum number of epochs.  [default: 200]",
)
@click.option(
    "--batch-size",
    "--batch_size",
    "training__batch_size",
    type=int,
    help="Crops per step.  [default: 8]",
)
@click.option(
    "--learning-rate",
    "--learning_rate",
    "training__learning_rate",
    type=float,
    help="Peak rate.  [default: 0.005 from scratch, 0.001 from trained weights]",
)
@channel_options("that of --init, or 0; with --resume the run's")
@click.option(
    "--pretrain-dir",
    "pretrain_dirs",
    type=EXISTING,
    multiple=True,
    help="Annotated images to train on first; may be repeated, in order of training.",
)
@click.option(
    "--extra-dir",
    "extra_dirs",
    type=EXISTING,
    multiple=True,
    help="More images to train on, never held out, such as `cellflow pseudo-label` writes.",
)
@click.option(
    "--final",
    "refit",
    type=click.Choice(["validation_then_train", "all"]),
    help="Finally also train on the held-out images, at a lower rate; with --folds the effect is "
    "measured on the fold, which is used for nothing else.",
)
@click.option(
    "--estimate",
    "estimates",
    type=EXISTING,
    multiple=True,
    help="A run with --final on a fold; the model of all images states its score as an estimate.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in --out, or the newest, with its own settings.",
)
@training_options
def command(
    train_dir: Path, config_file: Path | None, assignments: tuple[str, ...], **options: Any
) -> None:
    """Train a model on a folder of annotated images.

    Prints what it found, why each value was chosen, and finally the model folder.

    \b
    cellflow train --train-dir DATA
    cellflow train --train-dir DATA --init scratch --max-minutes 30
    cellflow train --train-dir DATA --out runs/train-001 --resume

    The same command with the same --out continues an unfinished run. SIGTERM and SIGUSR1 finish the
    step, save, and end with exit code 75.
    """
    from cellflow.training.interruption import InterruptFlag, StepFinished

    try:
        # From here on, even while torch is loading, a scheduler's signal ends with "run again".
        with InterruptFlag():
            folder = _train(train_dir, config_file, assignments, **options)
    except StepFinished as stop:
        if not stop.is_told and is_first_process():
            click.echo("stopped before the first step; run the same command again", err=True)
        raise
    if folder is not None:
        click.echo(folder)


def _train(
    train_dir: Path, config_file: Path | None, assignments: tuple[str, ...], **options: Any
) -> Path | None:
    """Train, and give the model folder; None in all processes but the first."""
    from cellflow.training.continuation import recorded_config
    from cellflow.training.initial import starting_config
    from cellflow.training.stages import train_in_stages

    budget_from(options)
    settings = {name: options.pop(name) for name in list(options) if name.startswith(SETTING)}
    with_channels = channels_from(options)
    is_resumed = options["resume"]
    base = recorded_config(options["out"]) if is_resumed else starting_config(options["init"])
    config = with_channels(config_from(config_file, assignments, base=base, **settings))
    say = partial(tqdm.write, file=sys.stderr)
    with Progress("training") as progress:
        folder = train_in_stages(
            train_dir,
            config=config,
            command=shlex.join(["cellflow", *sys.argv[1:]]),
            report=progress,
            say=say,
            **options,
        )
    return folder if is_first_process() else None
