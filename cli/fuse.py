"""`cellflow fuse`: fuse several methods into one submission."""

from pathlib import Path
from typing import Any

import click

from .comparing import comparison_settings, comparison_sources, entry_options
from .options import EXISTING, PATH, SEED, json_option


@click.command()
@click.argument("entries", type=EXISTING, nargs=-1, required=True)
@click.option("--out", type=PATH, required=True, help="The submission.csv to write.")
@click.option("--common-only", is_flag=True, help="Fuse only the images that all entries have.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="For the bootstrap and the folds."
)
@entry_options
@json_option
def command(entries: tuple[Path, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Fuse two or more ENTRIES into one submission.

    For each cell type the rule is chosen on the images with truth: one entry alone, one filled in
    by the others, or votes on cells and pixels. The score is of held-out folds. Images without
    truth are fused too if --images provides them.

    \b
    cellflow fuse ours.csv mask_rcnn.csv --truth train.csv --out fused.csv
    """
    from cellflow.comparison.fuse import fuse
    from cellflow.jsontext import to_json
    from cellflow.wording import counted

    truth, settings = options.pop("truth"), comparison_settings(options)
    with comparison_sources(options) as sources:
        fusion = fuse(entries, truth, out, settings=settings, sources=sources, **options)
    if as_json:
        click.echo(to_json(fusion.to_dict()))
    else:
        n_cells = counted(sum(map(len, fusion.cells.values())), "cell")
        n_images = counted(len(fusion.cells), "image")
        click.echo(f"{fusion.table()}\n\n{n_cells} in {n_images}: {out}")
