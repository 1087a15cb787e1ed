"""`cellflow score`: the mAP of what one method found, with error bars."""

from pathlib import Path
from typing import Any

import click

from .comparing import comparison_settings, comparison_sources, file_options
from .options import EXISTING, SEED, images_option, json_option, report_option

VARIANTS = ["competition", "report", "pooled", "at-least-one", "exactly-one", "hungarian-ge"]


@click.command()
@click.argument("found", type=EXISTING)
@file_options
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default="competition",
    show_default=True,
    help="How hits are counted; to compare with scores from elsewhere.",
)
@click.option("--covered-only", is_flag=True, help="Leave out truth images that FOUND lacks.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="For the bootstrap and the folds."
)
@report_option
@images_option
@json_option
def command(
    found: Path,
    truth: Path,
    report_file: Path | None,
    images: tuple[Path, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Score FOUND, the cells of one method, with the competition's mAP on overlapping truth.

    FOUND is a submission.csv, COCO results .json (Detectron2, mmdet, torchvision, Ultralytics), a
    _seg.npy, or a folder of label images or _seg.npy.

    \b
    cellflow score submission.csv --truth train.csv --report report.html
    cellflow score masks/ --truth annotated/
    """
    from cellflow.atomic import check_outputs
    from cellflow.comparison.score import score_submission
    from cellflow.jsontext import to_json

    if report_file is not None:
        check_outputs([found, truth], [report_file])
    settings = comparison_settings(options)
    with comparison_sources(options) as sources:
        score = score_submission(truth, found, settings=settings, sources=sources, **options)
    click.echo(to_json(score.to_dict()) if as_json else score.table())
    if report_file is not None:
        from cellflow.report.write import report_score

        from .progress import Progress

        with Progress("report", unit="image") as progress:
            written = report_score(report_file, score, truth, images=images, report=progress)
        click.echo(written.summary, err=True)
