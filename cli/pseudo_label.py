"""`cellflow pseudo-label`: turn unannotated images into a folder to train on."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from .options import EXISTING, PATH, config_from, config_options, device_option
from .progress import Progress

if TYPE_CHECKING:
    from cellflow.config import Config


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.argument("images", type=EXISTING)
@click.option("--out", type=PATH, required=True, help="Folder for `train --extra-dir`.")
@click.option(
    "--cell-agreement", default=0.7, show_default=True, help="Minimum IoU of a cell between models."
)
@click.option(
    "--image-agreement", default=0.6, show_default=True, help="Minimum agreement on an image."
)
@click.option(
    "--per-type", default=200, show_default=True, help="Maximum number of images per cell type."
)
@click.option("--weight", default=0.5, show_default=True, help="Weight of an image in the loss.")
@device_option
@config_options
def command(
    models: tuple[str, ...],
    images: Path,
    out: Path,
    device: str,
    per_type: int,
    config_file: Path | None,
    assignments: tuple[str, ...],
    **gates: float,
) -> None:
    """Label IMAGES where MODELs agree; a single model is compared with itself in other views.

    \b
    cellflow pseudo-label runs/fold0 runs/fold1 sartorius/train_semi_supervised --out pseudo
    cellflow train --train-dir sartorius/ --extra-dir pseudo
    """
    from cellflow.data.images import find_images
    from cellflow.inference.predict import load_model
    from cellflow.training.pseudo_labels import Gates, write_pseudo_labels
    from cellflow.wording import counted

    chosen, paths = Gates(most_per_type=per_type, **gates), find_images([images])

    def change(base: "Config") -> "Config":
        return config_from(config_file, assignments, base=base)  # type: ignore[no-any-return]

    voters = [load_model(source, device=device, change=change) for source in models]
    with Progress("label", unit="image") as progress:
        say = partial(tqdm.write, file=sys.stderr)
        record = write_pseudo_labels(voters, paths, out, chosen, report=progress, say=say)
    kinds = ", ".join(
        f"{'unknown type' if kind == 'None' else kind} {n}"
        for kind, n in record["images_by_cell_type"].items()
    )
    n_images, n_cells = counted(record["n_images"], "image"), counted(record["n_cells"], "cell")
    click.echo(f"{n_images} with {n_cells} ({kinds}): {out}")
