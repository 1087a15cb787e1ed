"""`cellflow split`: write the planes of stacks as separate pictures."""

from pathlib import Path

import click

from .options import PATH

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("stacks", type=FILE, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="Folder of the planes.")
@click.option("--overwrite", is_flag=True, help="Replace planes that are there.")
def command(stacks: tuple[Path, ...], out: Path, overwrite: bool) -> None:
    """Write each plane of TIFF STACKS, such as time points, as a file of its own.

    \b
    cellflow split lapse.tif --out frames/          # frames/lapse_t00.tif, lapse_t01.tif, ...
    cellflow predict frames/ --out masks/
    cellflow split lapse.tif lapse_masks.tif --out truth/    # pictures and labels, to train on
    """
    from cellflow.data.split import split_stacks
    from cellflow.wording import counted

    from .progress import Progress

    with Progress("split", unit="plane") as progress:
        files = split_stacks(stacks, out, overwrite=overwrite, report=progress)
    click.echo(f"{out}: {counted(len(files), 'plane')}, {files[0].name} to {files[-1].name}")
