"""`cellflow predict`: find the cells in images."""

from pathlib import Path
from typing import Any

import click

from .options import (
    EXISTING,
    PATH,
    channel_options,
    channels_from,
    config_from,
    config_options,
    device_option,
    duration,
    output_options,
    outputs_from,
    tell_found,
)
from .progress import Progress

SETTINGS = (
    "inference__diameter",
    "inference__diameter_policy",
    "inference__views",
    "inference__batch_size",
    "dynamics__cellprob_threshold",
    "dynamics__flow_threshold",
    "dynamics__min_size",
)
"""Options that stand for a setting, with its section and key."""

ADVICE = "is the diameter right (--diameter), and was the model trained on images like these?"


@click.command()
@click.argument("images", type=EXISTING, nargs=-1, required=True)
@output_options
@click.option("--overlays", type=PATH, help="Folder for drawings of the outlines on every image.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FOLDER|cyto3|FILE",
    help="Default: $CELLFLOW_MODEL, else the newest run in runs/. Several are averaged.",
)
@channel_options("the model's")
@click.option("--diameter", type=float, help="Cell diameter, pixels; default: the model's.")
@click.option(
    "--diameter-policy",
    metavar="auto|fixed|training|per_type|estimated|refined",
    help="Where the diameter comes from.",
)
@click.option("--views", type=int, help="1, 2, 4 or 8 mirrored and turned views, averaged.")
@click.option(
    "--budget",
    metavar="9h",
    callback=duration,
    help="Time for all images; views, scales and models are left out to keep to it.",
)
@click.option(
    "--shard",
    metavar="3/40",
    help="Process one part of the images; cellflow merge joins the parts.",
)
@click.option(
    "--cellprob-threshold",
    "--cellprob_threshold",
    type=float,
    help="Pixels above it belong to cells; default: the model's, or 0.",
)
@click.option(
    "--flow-threshold",
    "--flow_threshold",
    type=float,
    help="Largest flow error of a cell, 0 = any; default: the model's, or 0.4.",
)
@click.option(
    "--min-size",
    "--min_size",
    type=int,
    help="Smallest cell, pixels; default: the model's, or 15.",
)
@click.option(
    "--batch-size",
    "--batch_size",
    type=int,
    help="Tiles at once; default: depends on the device.",
)
@click.option("--restart", is_flag=True, help="Discard the results of an interrupted run.")
@device_option
@config_options
def command(images: tuple[Path, ...], **options: Any) -> None:
    """Find the cells in IMAGES: a folder, image files, or the competition's folder.

    \b
    cellflow predict images/ --out submission.csv
    """
    from cellflow.data.images import find_images, left_out_text
    from cellflow.errors import DataError
    from cellflow.inference.folder import partial_folder, predict_folder
    from cellflow.inference.parts import Shard
    from cellflow.inference.predict import load_models
    from cellflow.training.interruption import InterruptFlag
    from cellflow.wording import counted

    paths = find_images(images)
    named = {key: options.pop(key.split("__")[1]) for key in SETTINGS}
    with_channels = channels_from(options)
    sources = (options.pop("config_file"), options.pop("assignments"))
    named_shard = options.pop("shard")
    shard = Shard.parse(named_shard) if named_shard else None
    outputs = outputs_from(options)
    model = load_models(
        options.pop("models"),
        device=options.pop("device"),
        change=lambda base: with_channels(config_from(*sources, base=base, **named)),
    )
    if left_out := left_out_text(images):
        click.echo(left_out, err=True)
    size = "found in each image" if model.diameter is None else f"{model.diameter:.1f} px"
    click.echo(f"model {model.name} on {model.device}, diameter {size}", err=True)
    try:
        # A scheduler's signal ends the command like Ctrl-C, with the exit code for "run again".
        with (
            InterruptFlag(),
            Progress("predict", total=len(paths), unit="image") as progress,
        ):
            result = predict_folder(
                model,
                paths,
                outputs,
                shard=shard,
                report=progress,
                say=lambda text: click.echo(text, err=True),
                **options,
            )
    except KeyboardInterrupt:
        same = "the same command, without --restart," if options["restart"] else "the same command"
        click.echo(f"{same} continues from here", err=True)
        raise
    tell_found(result)
    if result.n_images and not result.n_cells:
        click.echo(f"no cell in any image: {ADVICE}", err=True)
    if result.failures:
        tried = counted(result.n_images + len(result.failures), "image")
        kept = partial_folder(outputs.paths[0])
        again = f"; {kept} keeps the other results for another try, and may be deleted"
        rest = again if shard is None and kept.exists() else ""
        raise DataError(f"{len(result.failures)} of {tried} could not be processed{rest}")
