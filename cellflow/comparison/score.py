"""The score of one method, read from files of any kind that `comparison.importers` lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from cellflow.comparison.count_limits import count_limit_remarks
from cellflow.comparison.coverage import compared_images
from cellflow.comparison.importers import MethodOutput, Sources, names_from_truth, read_outputs
from cellflow.comparison.model_predictions import is_model
from cellflow.comparison.preparation import image_folds, prepare
from cellflow.comparison.tables import preparation_sentences
from cellflow.comparison.truth import Truth, masks_of, read_truth, score_against, shapes_of
from cellflow.config import ComparisonConfig
from cellflow.errors import SubmissionError
from cellflow.inference.overlap_rules import has_overlap
from cellflow.metrics.average_precision import Variant
from cellflow.metrics.bootstrap import N_DRAWS
from cellflow.metrics.score import Score
from cellflow.records import CellMasks

DEFAULTS = ComparisonConfig()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MethodScore(Score):
    """A score with the cells that it was computed from.

    Parameters
    ----------
    method : str
        Name of the method.
    truths, predicted : mapping of image name to CellMasks
        The cells that were scored; images without prediction are missing from `predicted`.
    """

    method: str
    truths: Mapping[str, CellMasks]
    predicted: Mapping[str, CellMasks]


def score_submission(
    truth: Path | str,
    submission: Path | str,
    *,
    variant: Variant = "competition",
    thresholds: Sequence[float] | None = None,
    covered_only: bool = False,
    settings: ComparisonConfig = DEFAULTS,
    sources: Sources | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> MethodScore:
    """Score what one method found.

    Parameters
    ----------
    truth : path
        The competition's ``train.csv``, a COCO ``.json``, or a folder of annotated images.
    submission : path
        Of any kind that `comparison.importers` lists; a model folder needs images in `sources`.
    variant, thresholds : str, sequence of float
        As for `average_precision`. Cutoffs are chosen by the mean over the competition's thresholds
        all the same.
    covered_only : bool
        Leave out truth images that the submission lacks, instead of counting them as images
        without prediction. Either way the remarks name them.
    settings : ComparisonConfig
        Overlap rule and tuning of cutoffs; neither affects cells without overlap and scores.
    sources : Sources, optional
        Names for the ids in COCO results; images for a model folder.
    n_draws, seed : int
        Resamples of the bootstrap; seed of the bootstrap and the folds.

    Raises
    ------
    ConfigError
        An unknown variant or threshold.
    DataError, LabelError, RleError, ModelError
        `truth` or the submission cannot be read, or they do not fit each other.
    SubmissionError
        The submission breaks a rule of the competition, covers no truth image, or is a model
        folder without images.
    """
    path, sources = Path(submission), names_from_truth(sources, truth)
    if path.is_dir() and is_model(path) and not sources.images:
        raise SubmissionError(
            f"{path} is a model folder, and only what a model found can be scored: "
            "`cellflow predict` writes that; `cellflow compare --images` predicts by itself"
        )
    remarks: list[str] = []
    true_images = read_truth(truth, remarks)
    [output] = read_outputs([path], shapes_of(true_images), sources)
    if not true_images.keys() & output.detections.keys():
        example = next(iter(output.detections), None)
        found = "it has no image" if example is None else f"such as {example}"
        raise SubmissionError(f"{path}: none of its images is in {truth}, {found}")
    return score_output(
        output,
        true_images,
        variant=variant,
        thresholds=thresholds,
        covered_only=covered_only,
        settings=settings,
        n_draws=n_draws,
        seed=seed,
        remarks=remarks,
    )


def score_output(
    output: MethodOutput,
    truth: Truth,
    *,
    variant: Variant = "competition",
    thresholds: Sequence[float] | None = None,
    covered_only: bool = False,
    settings: ComparisonConfig = DEFAULTS,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    remarks: Sequence[str] = (),
) -> MethodScore:
    """Score an output in memory, prepared as for a comparison; otherwise like `score_submission`.

    Remarks on the truth are added to those of the score.
    """
    names, of_images = compared_images(
        list(truth),
        {output.name: output.detections.keys()},
        all_truth=not covered_only,
        without_empty=() if output.lists_empty else [output.name],
    )
    scored = {name: truth[name] for name in names}
    cells, of_cells, is_cut = cells_to_score(output, scored, settings, seed)
    score = score_against(
        scored, cells, variant=variant, thresholds=thresholds, n_draws=n_draws, seed=seed
    )
    lacking = [name for name in names if name not in cells]
    # With cutoffs the number would differ: the folds would hold other images.
    can_tell = not is_cut and variant != "pooled"
    values = {field.name: getattr(score, field.name) for field in fields(score)}
    values["remarks"] = (
        *remarks,
        *of_images,
        *_alternative(score, lacking, can_tell),
        *output.remarks,
        *of_cells,
        *score.remarks,
    )
    return MethodScore(**values, method=output.name, truths=masks_of(scored), predicted=cells)


def cells_to_score(
    output: MethodOutput, truth: Truth, settings: ComparisonConfig, seed: int
) -> tuple[dict[str, CellMasks], list[str], bool]:
    """Give the cells of an output that are scored: without overlap, cut as in a comparison.

    Parameters
    ----------
    output : MethodOutput
    truth : mapping of image name to TrueImage
        Of the images to score.
    settings : ComparisonConfig
    seed : int
        Of the folds on which cutoffs are chosen.

    Returns
    -------
    dict of image name to CellMasks
        Of the images of `truth` that the output has.
    list of str
        What was done, in sentences for the user.
    bool
        Whether cutoffs were applied.
    """
    found = {name: one for name, one in output.detections.items() if name in truth}
    if not output.has_scores and not any(has_overlap(one.masks) for one in found.values()):
        # There is nothing to prepare, and reading alone takes a fraction of the time.
        kinds = {name: image.cell_type for name, image in truth.items()}
        counts = {name: len(one.masks) for name, one in found.items()}
        limits = count_limit_remarks(output.name, counts, kinds)
        return {name: one.masks for name, one in found.items()}, limits, False
    folds = image_folds(truth, settings.n_folds, np.random.default_rng(seed))
    prepared = prepare(output, truth, folds, settings)
    remarks = [
        *prepared.remarks,
        *preparation_sentences(output.name, prepared.method),
        *prepared.count_limits(truth),
    ]
    return prepared.cells, remarks, prepared.cutoffs is not None


def _alternative(score: Score, lacking: Sequence[str], can_tell: bool) -> list[str]:
    """Say what leaving out the images without prediction would give, if there are any."""
    if not lacking:
        return []
    without = set(lacking)
    images = zip(score.names, score.images, strict=True)
    rest = [image.mean for name, image in images if name not in without]
    number = f": {score.metric} {np.mean(rest):.3f}" if can_tell and rest else ""
    them = "it" if len(lacking) == 1 else "them"
    return [f"--covered-only leaves {them} out, as compare does{number}"]
