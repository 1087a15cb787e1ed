"""`cellflow experiment`: variants × folds × seeds, one store, one table."""

import sys
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from .options import EXISTING, PATH, device_option
from .progress import Progress

store_option = click.option(
    "--store", type=PATH, default="runs/experiments", show_default=True, help="Results go there."
)
data_option = click.option(
    "--train-dir", type=EXISTING, required=True, help="Annotated images, as for `train`."
)
layout_option = click.option("--format", "layout", help="Layout of the data.")


@click.group()
def command() -> None:
    """Compare ways of training on the same folds, with error bars."""


@command.command()
@click.argument("file", type=EXISTING)
@data_option
@store_option
@layout_option
@device_option
def run(file: Path, train_dir: Path, store: Path, layout: str | None, device: str) -> None:
    """Train and score what FILE asks for and the store does not have; safe to interrupt.

    \b
    cellflow experiment run levers.toml --train-dir sartorius/
    """
    from cellflow.experiments.plan import read_experiment
    from cellflow.experiments.run import open_bench, run_experiment
    from cellflow.experiments.table import experiment_table, summarize

    experiment = read_experiment(file)
    bench = open_bench(experiment, train_dir, store, layout)
    say = partial(tqdm.write, file=sys.stderr)
    with Progress(experiment.name) as progress:
        rows = run_experiment(experiment, bench, device=device, report=progress, say=say)
    names = [variant.name for variant in experiment.variants]
    click.echo(experiment_table(summarize(rows, names, experiment.rank_by), experiment.rank_by))


@command.command()
@click.argument("file", type=EXISTING)
@data_option
@store_option
@layout_option
def table(file: Path, train_dir: Path, store: Path, layout: str | None) -> None:
    """Print the table of what the store has of FILE; computes nothing."""
    from cellflow.experiments.plan import read_experiment
    from cellflow.experiments.run import finished_rows, open_bench
    from cellflow.experiments.table import experiment_table, summarize

    experiment = read_experiment(file)
    rows = finished_rows(experiment, open_bench(experiment, train_dir, store, layout))
    names = [variant.name for variant in experiment.variants]
    click.echo(experiment_table(summarize(rows, names, experiment.rank_by), experiment.rank_by))
