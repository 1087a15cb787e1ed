"""The public functions of the report: write a score, a comparison or predictions as HTML."""

from collections.abc import Sequence
from pathlib import Path

from cellflow.atomic import check_outputs
from cellflow.comparison.compare import compare_outputs
from cellflow.comparison.importers import Sources, names_from_truth, read_outputs
from cellflow.comparison.result import Comparison
from cellflow.comparison.score import MethodScore, score_output
from cellflow.comparison.truth import read_truth, shapes_of
from cellflow.config import ComparisonConfig
from cellflow.data.images import read_image
from cellflow.errors import ConfigError, ImageError
from cellflow.records import Shape
from cellflow.report.compose import MEGABYTES, ReportResult, write_report
from cellflow.report.picture_files import beside_truth, find_pictures
from cellflow.report.subject import (
    Subject,
    subject_of_comparison,
    subject_of_score,
    subject_without_truth,
)
from cellflow.telling import Report, ignore


def report_score(
    path: Path | str,
    score: MethodScore,
    truth: Path,
    *,
    images: Sequence[Path] = (),
    report: Report = ignore,
) -> ReportResult:
    """Write the report of one method's score.

    Parameters
    ----------
    path : path
        The HTML file; replaced only once the new one is complete.
    score : MethodScore
        From `score_submission`.
    truth : Path
        That it was scored against; only the images that belong to it are read.
    images : sequence of Path
        Image files or folders, see `find_pictures`; if empty, those that `beside_truth` finds.
    report : callable
        Called as ``report(n_done, {"total": n})``.

    Raises
    ------
    DataError, ImageError
        A file cannot be read, or the images are others than those scored.
    """
    subject = subject_of_score(score)
    subject = subject.with_pictures(find_pictures(images or beside_truth(truth)))
    return write_report(path, subject, report=report)


def report_comparison(
    path: Path | str,
    comparison: Comparison,
    truth: Path,
    *,
    images: Sequence[Path] = (),
    report: Report = ignore,
) -> ReportResult:
    """Write the report of a comparison; parameters and errors are those of `report_score`."""
    subject = subject_of_comparison(comparison)
    subject = subject.with_pictures(find_pictures(images or beside_truth(truth)))
    return write_report(path, subject, report=report)


def report_predictions(
    path: Path | str,
    predictions: Sequence[Path],
    *,
    truth: Path | None = None,
    sources: Sources | None = None,
    settings: ComparisonConfig | None = None,
    common_only: bool = False,
    megabytes: float = MEGABYTES,
    seed: int = 0,
    report: Report = ignore,
) -> ReportResult:
    """Write a report of predictions, with or without truth.

    Parameters
    ----------
    path : path
        The HTML file; replaced only once the new one is complete.
    predictions : sequence of Path
        One or more, of any kind that `comparison.importers` lists.
    truth : Path, optional
        Anything that `read_truth` can read. Images that no prediction covers are left out. Without
        truth all predictions are shown as they are, whatever their overlap and confidence.
    sources : Sources, optional
        The images, which are required without truth, and what else the predictions need.
    settings : ComparisonConfig, optional
        How predictions are prepared for scoring against truth.
    common_only : bool
        Compare on the images common to all predictions, instead of refusing when they differ; needs
        truth. Without truth all images of any prediction are shown.
    megabytes : float
        Limit of the file in millions of bytes. If it is exceeded, images are left out of the
        viewer, the best ones first, and the report says so.
    seed : int
        Of the bootstrap and of the folds.
    report : callable
        Called as ``report(n_done, {"total": n})``.

    Raises
    ------
    ConfigError
        There is no prediction, neither truth nor images, or `common_only` without truth.
    DataError, ImageError, LabelError, ModelError, RleError, SubmissionError
        A file cannot be read, or does not fit the others.
    """
    sources = sources or Sources()
    if not predictions:
        raise ConfigError("a report needs at least one file or folder of predictions")
    if truth is None and not sources.images:
        raise ConfigError("a report needs the images (--images) or the truth (--truth)")
    if truth is None and common_only:
        raise ConfigError(
            "--common-only needs --truth: without it nothing is compared, and every image is shown "
            "that any of the predictions has"
        )
    check_outputs([*predictions, *([truth] if truth else [])], [Path(path)])
    pictures = find_pictures(sources.images or (beside_truth(truth) if truth else ()))
    if truth is None:
        subject = _without_truth(predictions, pictures, sources)
    else:
        remarks: list[str] = []
        known = read_truth(truth, remarks)
        outputs = read_outputs(predictions, shapes_of(known), names_from_truth(sources, truth))
        settings = settings or ComparisonConfig()
        if len(outputs) == 1:
            score = score_output(
                outputs[0], known, covered_only=True, settings=settings, seed=seed, remarks=remarks
            )
            subject = subject_of_score(score)
        else:
            comparison = compare_outputs(
                outputs,
                known,
                common_only=common_only,
                settings=settings,
                seed=seed,
                remarks=remarks,
            )
            subject = subject_of_comparison(comparison)
    return write_report(path, subject.with_pictures(pictures), megabytes=megabytes, report=report)


def _without_truth(
    predictions: Sequence[Path], pictures: dict[str, Path], sources: Sources
) -> Subject:
    shapes: dict[str, Shape] = {}
    unread: dict[str, ImageError] = {}
    for name, picture in pictures.items():
        try:
            height, width = read_image(picture).shape[-2:]
        except ImageError as error:
            unread[name] = error
        else:
            shapes[name] = (height, width)
    if not shapes and unread:
        raise next(iter(unread.values()))
    return subject_without_truth(read_outputs(predictions, shapes, sources), shapes, unread)
