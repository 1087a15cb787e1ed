"""`cellflow predict`: the cells in images."""

from pathlib import Path
from typing import Any

import click

from .options import EXISTING, PATH, config_from, config_options, device_option
from .progress import Progress

SETTINGS = (
    "inference__diameter",
    "inference__batch_size",
    "dynamics__cellprob_threshold",
    "dynamics__flow_threshold",
    "dynamics__min_size",
)
"""Options that stand for a setting: its section and its key."""


@click.command()
@click.argument("images", type=EXISTING, nargs=-1, required=True)
@click.option(
    "--out",
    "outputs",
    type=PATH,
    multiple=True,
    required=True,
    help="submission.csv, results.json (COCO), rois.zip, or a folder; may be repeated.",
)
@click.option(
    "--as",
    "folder_format",
    type=click.Choice(["tif", "seg", "roi"]),
    default="tif",
    show_default=True,
    help="What a folder gets: label TIFFs, _seg.npy for the Cellpose GUI, or ImageJ ROIs.",
)
@click.option(
    "--cells", type=PATH, help="Also write a CSV with area, diameter, score of each cell."
)
@click.option("--overlays", type=PATH, help="Also draw every image with its outlines there.")
@click.option(
    "--model",
    metavar="FOLDER|cyto3|FILE",
    help="Default: $CELLFLOW_MODEL, else the newest run in runs/.",
)
@click.option("--diameter", type=float, help="Cell diameter, pixels; default: the model's.")
@click.option("--cellprob-threshold", "--cellprob_threshold", type=float)
@click.option("--flow-threshold", "--flow_threshold", type=float)
@click.option("--min-size", "--min_size", type=int, help="Smallest cell, pixels.")
@click.option("--batch-size", "--batch_size", type=int, help="Tiles at once.")
@click.option("--restart", is_flag=True, help="Discard what an interrupted run has found.")
@device_option
@config_options
def command(images: tuple[Path, ...], outputs: tuple[Path, ...], **options: Any) -> None:
    """Find the cells in IMAGES: a folder, image files, or the competition's folder.

    \b
    cellflow predict images/ --out submission.csv
    """
    from cellflow.data.images import find_images
    from cellflow.errors import DataError
    from cellflow.inference.folder import predict_folder
    from cellflow.inference.predict import load_model
    from cellflow.wording import counted

    paths = find_images(images)
    named = {key: options.pop(key.split("__")[1]) for key in SETTINGS}
    sources = (options.pop("config_file"), options.pop("assignments"))
    model = load_model(
        options.pop("model"),
        device=options.pop("device"),
        change=lambda base: config_from(*sources, base=base, **named),
    )
    size = "estimated in each image" if model.diameter is None else f"{model.diameter:.1f} px"
    click.echo(f"model {model.name} on {model.device}, diameter {size}", err=True)
    try:
        with Progress("predict", total=len(paths), unit="image") as progress:
            result = predict_folder(
                model,
                paths,
                outputs,
                report=progress,
                say=lambda text: click.echo(text, err=True),
                **options,
            )
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on from here", err=True)
        raise
    for failure in result.failures:
        click.echo(f"error: {failure}", err=True)
    where = ", ".join(str(path) for path in outputs)
    found = f"{counted(result.n_cells, 'cell')} in {counted(result.n_images, 'image')}"
    click.echo(f"{found}: {where}")
    if result.failures:
        raise DataError(
            f"{len(result.failures)} of {counted(len(paths), 'image')} could not be done"
        )
