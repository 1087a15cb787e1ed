"""`cellflow experiment`: variants × folds × seeds, one store, one table."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
from tqdm import tqdm

from cellflow.experiments.plan import RankBy

from .options import EXISTING, PATH, SEED, device_option
from .progress import Progress


def _named(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Path]:
    pairs = [value.partition("=") for value in values]
    if any(not equals or not path for _, equals, path in pairs):
        raise click.BadParameter("expected NAME=PATH", context, parameter)
    return {name: Path(path) for name, _, path in pairs}


_OPTIONS = (
    click.option(
        "--train-dir", type=EXISTING, required=True, help="Annotated images, as for `train`."
    ),
    click.option(
        "--store",
        type=PATH,
        default="runs/experiments",
        show_default=True,
        help="Folder of the results.",
    ),
    click.option("--format", "layout", help="Layout of the data."),
    click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override the file's [base], such as training.n_epochs=20, or its settings of one "
        "family, such as unet.settings.training.iterations=200; may be repeated.",
    ),
    click.option(
        "--seed", "seeds", type=SEED, multiple=True, help="Instead of the file's; may be repeated."
    ),
    click.option(
        "--variant",
        "variants",
        multiple=True,
        metavar="NAME",
        help="Only this variant of the file; may be repeated.",
    ),
    click.option(
        "--folder",
        "folders",
        multiple=True,
        callback=_named,
        metavar="NAME=PATH",
        help="A folder that the file asks for, such as livecell=LIVECell_dataset_2021/.",
    ),
    click.option(
        "--rank-by", type=click.Choice(get_args(RankBy)), help="What to sort the table by."
    ),
)


def _experiment_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return click.argument("file", metavar="NAME|FILE")(function)


@click.group()
def command() -> None:
    """Compare ways of training on the same folds, with error bars.

    \b
    cellflow experiment list
    cellflow experiment run optimiser --train-dir sartorius/ --seed 0 --seed 1
    """


@command.command("list")
def list_() -> None:
    """List the experiments that come with cellflow, and the question of each."""
    from cellflow.experiments.shipped import shipped_experiments

    for name, question in shipped_experiments().items():
        click.echo(f"{name:22} {question}")


@command.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the file of an experiment that comes with cellflow, as a start for your own."""
    from cellflow.experiments.shipped import find_experiment

    click.echo(find_experiment(name).read_text(encoding="utf-8"), nl=False)


@command.command()
@_experiment_options
@device_option
@click.option("--out", type=PATH, help="Also write the table and its curves into this folder.")
@click.option("--dry-run", is_flag=True, help="Only list what there is to do; train nothing.")
def run(
    file: str,
    train_dir: Path,
    store: Path,
    layout: str | None,
    device: str,
    out: Path | None,
    dry_run: bool,
    **changes: Any,
) -> None:
    """Train and score whatever FILE asks for and the store lacks; safe to interrupt.

    \b
    cellflow experiment run levers.toml --train-dir sartorius/

    Several processes with one store share the work.
    """
    from cellflow.experiments.bench import open_bench
    from cellflow.experiments.forecast import forecast
    from cellflow.experiments.pages import write_page
    from cellflow.experiments.plan import read_experiment
    from cellflow.experiments.run import run_experiment
    from cellflow.experiments.shipped import find_experiment
    from cellflow.experiments.table import experiment_page

    experiment = read_experiment(find_experiment(file), **changes)
    bench = open_bench(experiment, train_dir, store, layout, begin=not dry_run)
    if dry_run:
        click.echo("\n".join(forecast(experiment, bench, device)))
        return
    say = partial(tqdm.write, file=sys.stderr)
    with Progress(experiment.name) as progress:
        rows = run_experiment(experiment, bench, device=device, report=progress, say=say)
    if not any(row.variant == experiment.variants[0].name for row in rows):
        return  # another process is computing the first variant; that was said already
    click.echo(write_page(out, experiment, rows) if out else experiment_page(experiment, rows))


@command.command()
@_experiment_options
@click.option("--out", type=PATH, help="Also write it, with its curves, into this folder.")
def table(
    file: str, train_dir: Path, store: Path, layout: str | None, out: Path | None, **changes: Any
) -> None:
    """Print the table of the results of FILE in the store; computes nothing."""
    from cellflow.experiments.bench import open_bench
    from cellflow.experiments.pages import write_page
    from cellflow.experiments.plan import read_experiment
    from cellflow.experiments.run import finished_rows
    from cellflow.experiments.shipped import find_experiment
    from cellflow.experiments.table import experiment_page

    experiment = read_experiment(find_experiment(file), **changes)
    bench = open_bench(experiment, train_dir, store, layout, begin=False)
    rows = finished_rows(experiment, bench)
    click.echo(write_page(out, experiment, rows) if out else experiment_page(experiment, rows))
