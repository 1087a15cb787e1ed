"""`cellflow check`: find faults in a data folder or a submission."""

from pathlib import Path

import click

from .options import EXISTING, json_option
from .progress import Progress


@click.command()
@click.argument("path", type=EXISTING)
@click.option("--manifest", help="Compare a downloaded copy with this data set's manifest.")
@click.option(
    "--truth",
    type=EXISTING,
    help="For a submission: train.csv, with the names and sizes of the images.",
)
@click.option("--format", "layout", help="Layout of the data, when it is not recognised.")
@json_option
def command(
    path: Path, manifest: str | None, truth: Path | None, layout: str | None, as_json: bool
) -> None:
    """Check a data folder, a submission.csv, or a download against its manifest.

    \b
    cellflow check sartorius/
    cellflow check submission.csv
    cellflow check --manifest sartorius sartorius/
    """
    from cellflow.diagnosis.inspection import inspect_data, inspect_download, inspect_submission
    from cellflow.errors import DataError
    from cellflow.jsontext import to_json
    from cellflow.wording import counted

    is_submission = manifest is None and path.suffix.lower() == ".csv"
    if truth is not None and not is_submission:
        raise click.UsageError("--truth only applies to a submission .csv")
    if layout is not None and (manifest is not None or is_submission):
        raise click.UsageError("--format only applies to a data folder")
    if manifest is not None:
        report = inspect_download(manifest, path)
    elif is_submission:
        report = inspect_submission(path, truth)
    else:
        with Progress("check", unit="image") as progress:
            report = inspect_data(path, layout, progress)
    click.echo(to_json(report.to_dict()) if as_json else report.text())
    if report.problems:
        raise DataError(f"{path}: {counted(len(report.problems), 'problem')} found")
