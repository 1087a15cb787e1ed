"""`cellflow compare`: submissions against each other, paired by image."""

from pathlib import Path

import click

from .options import EXISTING, SEED, json_option


@click.command()
@click.argument("submissions", type=EXISTING, nargs=-1, required=True)
@click.option("--truth", type=EXISTING, required=True, help="The competition's train.csv.")
@click.option("--common-only", is_flag=True, help="Compare on the images that all have.")
@click.option(
    "--all-truth", is_flag=True, help="Count truth images that no submission has as zero."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the bootstrap.")
@json_option
def command(
    submissions: tuple[Path, ...],
    truth: Path,
    common_only: bool,
    all_truth: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Compare two or more SUBMISSIONS on the same images, with error bars.

    \b
    cellflow compare ours.csv mask_rcnn.csv --truth train.csv
    """
    from cellflow.comparison.compare import compare
    from cellflow.jsontext import to_json

    comparison = compare(
        submissions, truth, common_only=common_only, all_truth=all_truth, seed=seed
    )
    click.echo(to_json(comparison.to_dict()) if as_json else comparison.table())
