"""`cellflow show`: draw images with the outlines of their cells."""

from pathlib import Path
from typing import Literal

import click

from .options import EXISTING, PATH


@click.command()
@click.argument("images", type=EXISTING, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="Folder for the pictures.")
@click.option(
    "--masks",
    type=EXISTING,
    multiple=True,
    help="submission.csv, train.csv or a folder of label images; give truth and prediction both "
    "to see them side by side.",
)
@click.option("--matches", is_flag=True, help="Colour hits, missed and spurious cells.")
@click.option("--zoom", default=2, show_default=True, type=click.IntRange(1, 8))
def command(
    images: tuple[Path, ...], out: Path, masks: tuple[Path, ...], matches: bool, zoom: int
) -> None:
    """Draw IMAGES (files, or folders with or without truth) beside the outlines of their cells.

    \b
    cellflow show test/ --masks submission.csv --out pictures/
    """
    from cellflow.errors import DataError
    from cellflow.pictures.show import show_images
    from cellflow.wording import counted

    from .progress import Progress

    colouring: Literal["cells", "matches"] = "matches" if matches else "cells"
    with Progress("show", unit="image") as progress:
        result = show_images(
            images, out, masks=masks, colouring=colouring, zoom=zoom, report=progress
        )
    for text in [*result.remarks, *(f"error: {failure}" for failure in result.failures)]:
        click.echo(text, err=True)
    drawn = f"{counted(result.n_pictures, 'picture')}, {counted(result.n_sheets, 'sheet')}"
    click.echo(f"{out}: {drawn}")
    if result.failures:
        raise DataError(f"{counted(len(result.failures), 'image')} could not be drawn")
