"""`cellflow score`: the mAP of a submission, with error bars."""

from pathlib import Path

import click

from .options import EXISTING, SEED, images_option, json_option, report_option

VARIANTS = ["competition", "report", "pooled", "at-least-one", "exactly-one", "hungarian-ge"]


@click.command()
@click.argument("submission", type=EXISTING)
@click.option("--truth", type=EXISTING, required=True, help="The competition's train.csv.")
@click.option(
    "--variant",
    type=click.Choice(VARIANTS),
    default="competition",
    show_default=True,
    help="How hits are counted; to compare with scores from elsewhere.",
)
@click.option(
    "--covered-only", is_flag=True, help="Leave out truth images that the submission lacks."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="For the bootstrap.")
@report_option
@images_option
@json_option
def command(
    submission: Path,
    truth: Path,
    variant: str,
    covered_only: bool,
    seed: int,
    report_file: Path | None,
    images: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Score SUBMISSION with the competition's mAP on overlapping truth.

    \b
    cellflow score submission.csv --truth train.csv --report report.html
    """
    from cellflow.atomic import check_outputs
    from cellflow.jsontext import to_json
    from cellflow.metrics.score import score_submission

    if report_file is not None:
        check_outputs([submission, truth], [report_file])
    score = score_submission(
        truth,
        submission,
        variant=variant,  # type: ignore[arg-type]
        covered_only=covered_only,
        seed=seed,
    )
    click.echo(to_json(score.to_dict()) if as_json else score.table())
    if report_file is not None:
        from cellflow.report.write import report_score

        from .progress import Progress

        with Progress("report", unit="image") as progress:
            written = report_score(
                report_file, score, submission, truth, images=images, report=progress
            )
        click.echo(written.summary, err=True)
