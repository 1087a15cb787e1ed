"""`cellflow folds`: which images are held out, in a file that all models share."""

from pathlib import Path

import click

from .options import EXISTING, PATH, SEED


@click.command()
@click.argument("data", type=EXISTING)
@click.option("--out", type=PATH, default="folds.json", show_default=True)
@click.option(
    "--n-folds", type=int, help="Number of folds; each image is held out once.  [default: 5]"
)
@click.option("--share", type=float, help="Hold out one share only, for instance 0.2.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Replace an existing --out file.")
@click.option("--format", "layout", help="Layout of the data, when it is not recognised.")
@click.option(
    "--export",
    "export_format",
    type=click.Choice(["coco"]),
    help="Also write both sides of each fold in this format.",
)
@click.option("--export-dir", type=PATH, help="Folder for --export.  [default: folds]")
def command(
    data: Path,
    out: Path,
    n_folds: int | None,
    share: float | None,
    seed: int,
    overwrite: bool,
    layout: str | None,
    export_format: str | None,
    export_dir: Path | None,
) -> None:
    """Split DATA into folds: stratified by cell type, plate and well kept together."""
    from cellflow.data import folds as room
    from cellflow.data.entrance import describe, open_dataset

    if share is not None and n_folds is not None:
        raise click.UsageError("--share makes a single fold; give either --share or --n-folds")
    if export_dir is not None and export_format is None:
        raise click.UsageError("--export-dir needs --export coco")
    dataset = open_dataset(data, layout)
    for line in (describe(dataset), *dataset.remarks):
        click.echo(line, err=True)
    made = (
        room.make_folds(dataset, 5 if n_folds is None else n_folds, seed)
        if share is None
        else room.make_holdout(dataset, share, seed)
    )
    if out.exists() and not overwrite:
        room.require_same(out, made)
    room.write_folds(out, made)
    leaks = room.leak_report(dataset, made) or [room.no_leak(dataset)]
    for line in [*room.describe_folds(dataset, made), *leaks]:
        click.echo(line)
    if export_format == "coco":
        for path in room.export_folds(dataset, made, export_dir or Path("folds")):
            click.echo(path)
