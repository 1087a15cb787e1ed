"""`cellflow compare`: compare several methods, paired by image."""

from pathlib import Path
from typing import Any

import click

from .comparing import comparison_settings, comparison_sources, entry_options
from .options import EXISTING, SEED, json_option, report_option
from .progress import Progress


@click.command()
@click.argument("entries", type=EXISTING, nargs=-1, required=True)
@click.option(
    "--common-only", is_flag=True, help="Compare only on the images that all entries have."
)
@click.option("--all-truth", is_flag=True, help="Score truth images that no entry has as zero.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="For the bootstrap and the folds."
)
@click.option("--no-coco", is_flag=True, help="Leave out COCO's average precision.")
@entry_options
@report_option
@json_option
def command(
    entries: tuple[Path, ...], report_file: Path | None, as_json: bool, **options: Any
) -> None:
    """Compare two or more ENTRIES on the same images, with error bars.

    An entry is a submission.csv, COCO results .json (Detectron2, mmdet, torchvision, Ultralytics),
    a folder of label images or _seg.npy, or a model folder, which predicts --images.

    \b
    cellflow compare ours.csv mask_rcnn.csv --truth train.csv
    cellflow compare runs/first coco_instances_results.json --images train/ --truth train.csv
    """
    from cellflow.atomic import check_outputs
    from cellflow.comparison.compare import compare
    from cellflow.comparison.importers import require_models
    from cellflow.jsontext import to_json

    if report_file is None:
        require_models(entries, options["images"])
    else:
        check_outputs([*entries, options["truth"]], [report_file])
    settings = comparison_settings(options, coco=not options.pop("no_coco"))
    with comparison_sources(options) as sources:
        comparison = compare(entries, settings=settings, sources=sources, **options)
    click.echo(to_json(comparison.to_dict()) if as_json else comparison.table())
    if report_file is not None:
        from cellflow.report.write import report_comparison

        with Progress("report", unit="image") as progress:
            written = report_comparison(
                report_file,
                comparison,
                options["truth"],
                images=sources.images,
                report=progress,
            )
        click.echo(written.summary, err=True)
