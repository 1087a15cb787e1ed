"""`cellflow diagnose`: what limits the score of a prediction."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .comparing import comparison_settings, comparison_sources, file_options
from .options import EXISTING, PATH, SEED, json_option
from .progress import Progress


@click.command()
@click.argument("prediction", type=EXISTING, required=False)
@file_options
@click.option(
    "--all-truth",
    is_flag=True,
    help="Count truth images without a prediction as images without cells.",
)
@click.option("--pictures", type=PATH, help="Folder for the error budget and the limits as PNG.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="For the bootstrap and the folds."
)
@json_option
def command(prediction: Path | None, truth: Path, as_json: bool, **options: Any) -> None:
    """Show what limits the score of PREDICTION: a submission, COCO results, or label images.

    Missed, spurious, split and merged cells and wrong boundaries by cell type, each with the score
    without it; what flows can represent at all; and the effect of one pixel on cells of each size.
    Without PREDICTION only the truth is examined.

    \b
    cellflow diagnose submission.csv --truth train.csv
    """
    from cellflow.comparison.diagnose import diagnose_files
    from cellflow.jsontext import to_json

    if prediction is None:
        _refuse_options_of_predictions()
    settings = comparison_settings(options)
    with comparison_sources(options) as sources, Progress("diagnose", unit="image") as progress:
        found = diagnose_files(
            truth, prediction, sources=sources, settings=settings, report=progress, **options
        )
    click.echo(to_json(found.to_dict()) if as_json else found.table())


def _refuse_options_of_predictions() -> None:
    context = click.get_current_context()
    for name in ("overlap_rule", "no_tuning", "image_names", "all_truth"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} needs a PREDICTION")
