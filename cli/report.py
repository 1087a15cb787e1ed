"""`cellflow report`: predictions, with or without truth, as one HTML file for viewing."""

from pathlib import Path
from typing import Any

import click

from .comparing import comparison_sources
from .options import EXISTING, PATH, SEED, device_option, must_end
from .progress import Progress


@click.command()
@click.argument("predictions", type=EXISTING, nargs=-1, required=True)
@click.option(
    "--images", type=EXISTING, multiple=True, help="The images; required without --truth."
)
@click.option(
    "--truth", type=EXISTING, help="train.csv, a COCO .json, or a folder of annotated images."
)
@click.option(
    "--common-only", is_flag=True, help="With --truth: only the images that all predictions have."
)
@click.option(
    "--out", type=PATH, required=True, callback=must_end(".html", ".htm"), help="The HTML file."
)
@click.option(
    "--megabytes",
    default=12.0,
    show_default=True,
    help="Largest size of the file; images that do not fit are left out of the viewer.",
)
@click.option(
    "--image-names",
    type=EXISTING,
    help="File names for the image ids in COCO results: a COCO .json, or a CSV id,file_name.",
)
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="For the bootstrap and the folds."
)
@device_option
def command(predictions: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Write a report of PREDICTIONS: with truth their scores, without it what was found.

    Predictions are what `cellflow compare` takes: submission.csv, COCO results .json, folders of
    label images or _seg.npy, model folders. Two or more are compared.

    \b
    cellflow report submission.csv --images test/ --out report.html
    cellflow report ours.csv theirs.json --images train/ --truth train.csv --out report.html
    """
    from cellflow.report.write import report_predictions

    with (
        comparison_sources(options) as sources,
        Progress("report", unit="image") as progress,
    ):
        written = report_predictions(out, predictions, sources=sources, report=progress, **options)
    for remark in written.remarks:
        click.echo(f"note: {remark}", err=True)
    click.echo(written.summary)
