"""`cellflow score`: how good the cells are that one method found, with error bars."""

from pathlib import Path
from typing import Any

import click

from .comparing import comparison_settings, comparison_sources, file_options
from .options import EXISTING, PATH, SEED, images_option, json_option, must_end, report_option
from .progress import Progress

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
@click.option(
    "--iou",
    "thresholds",
    type=float,
    multiple=True,
    help="IoU threshold instead of 0.50, 0.55 … 0.95; may be repeated.",
)
@click.option(
    "--by-threshold",
    is_flag=True,
    help="Also print TP, FP, FN, precision, recall, F1, matched IoU and panoptic quality at each "
    "threshold, summed over images; --json always has them.",
)
@click.option(
    "--pairs",
    type=PATH,
    callback=must_end(".csv"),
    help="Also write a CSV with each hit, missed and spurious cell at the lowest threshold.",
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
    thresholds: tuple[float, ...],
    by_threshold: bool,
    pairs: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score FOUND, the cells of one method, against annotated cells, which may overlap.

    Prints the mean average precision (mAP) over IoU 0.50, 0.55 … 0.95 with its interval. FOUND is a
    submission.csv, COCO results .json (Detectron2, mmdet, torchvision, Ultralytics), a _seg.npy, or
    a folder of label images or _seg.npy.

    \b
    cellflow score submission.csv --truth train.csv --report report.html
    cellflow score masks/ --truth annotated/ --iou 0.5 --by-threshold --pairs pairs.csv
    """
    from cellflow.atomic import check_outputs
    from cellflow.comparison.match_table import write_matches
    from cellflow.comparison.score import score_submission
    from cellflow.jsontext import to_json

    if thresholds and report_file is not None:
        raise click.UsageError("--report shows all thresholds, 0.50 … 0.95; leave out --iou")
    inputs, outputs = (found, truth, options["image_names"]), (report_file, pairs)
    check_outputs(
        [path for path in inputs if path is not None],
        [path for path in outputs if path is not None],
    )
    settings = comparison_settings(options)
    options["thresholds"] = thresholds or None
    with comparison_sources(options) as sources:
        score = score_submission(truth, found, settings=settings, sources=sources, **options)
    told = to_json(score.to_dict()) if as_json else score.table(by_threshold=by_threshold)
    written = [] if pairs is None else [write_matches(pairs, score)]
    click.echo(told)
    if report_file is not None:
        from cellflow.report.write import report_score

        with Progress("report", unit="image") as progress:
            page = report_score(report_file, score, truth, images=images, report=progress)
        written.append(page.summary)
    for summary in written:
        click.echo(summary, err=True)
