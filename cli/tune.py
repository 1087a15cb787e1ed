"""`cellflow tune`: choose thresholds on held-out images, with an honest score."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from .options import EXISTING, PATH, config_from, config_options, device_option, json_option
from .progress import Progress


@click.command()
@click.argument("models", type=EXISTING, nargs=-1, required=True)
@click.option(
    "--train-dir", type=EXISTING, required=True, help="The data that the models were trained on."
)
@click.option(
    "--n-folds", type=int, help="Folds of the cross-validation that gives the honest score."
)
@click.option("--cache", type=PATH, help="Folder for the network's output; safe to delete.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only report; do not change the models. Without --cache nothing is kept.",
)
@click.option("--format", "layout", help="Layout of the data, when it is not recognised.")
@device_option
@config_options
@json_option
def command(
    models: tuple[Path, ...],
    config_file: Path | None,
    assignments: tuple[str, ...],
    n_folds: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose the thresholds of MODELS by cell type, on images that they have not seen.

    Several models must be those of the folds of one data set: each predicts its own held-out
    images, and all get the same thresholds. Tune with the settings that you will predict with: for
    predict --views 8, use --set inference.views=8.

    \b
    cellflow tune runs/train-001 --train-dir sartorius/
    """
    from cellflow.jsontext import to_json
    from cellflow.tuning.tune import tune

    def change(base: Any) -> Any:
        return config_from(config_file, assignments, base=base, tuning__n_folds=n_folds)

    say = partial(tqdm.write, file=sys.stderr)
    with Progress("tuning", unit="image") as progress:
        result = tune(models, change=change, report=progress, say=say, **options)
    click.echo(to_json(result.to_dict()) if as_json else result.table())
    for model in models if not options["dry_run"] else ():
        click.echo(f"written: {model / 'thresholds.json'}", err=True)
