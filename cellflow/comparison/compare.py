"""Which of several methods is better, and how certain that is; paired by image."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cellflow.comparison.breakdowns import Evidence, all_breakdowns
from cellflow.comparison.coco_precision import INSTALL, coco_precision, has_coco_tools
from cellflow.comparison.coverage import compared_images
from cellflow.comparison.importers import (
    MethodOutput,
    Sources,
    names_from_truth,
    read_outputs,
)
from cellflow.comparison.pairs import paired_differences, rank
from cellflow.comparison.preparation import Prepared, image_folds, prepare
from cellflow.comparison.result import Comparison
from cellflow.comparison.truth import Truth, masks_of, read_truth, score_against, shapes_of
from cellflow.config import ComparisonConfig
from cellflow.errors import ConfigError, SubmissionError
from cellflow.metrics.average_precision import Variant
from cellflow.metrics.bootstrap import N_DRAWS
from cellflow.metrics.few_groups import coverage_remark, independence_remark
from cellflow.metrics.found_cells import find_cells
from cellflow.records import CellMasks

DEFAULTS = ComparisonConfig()
_TOO_FEW = "a comparison needs two entries or more; `cellflow score` scores one"


def compare(
    submissions: Sequence[Path | str],
    truth: Path | str,
    *,
    variant: Variant = "competition",
    common_only: bool = False,
    all_truth: bool = False,
    settings: ComparisonConfig = DEFAULTS,
    sources: Sources | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare what several methods found in the same images.

    Parameters
    ----------
    submissions : sequence of path
        Two or more, of any kind that `comparison.importers` lists.
    truth : path
        The competition's ``train.csv``, a COCO ``.json``, or a folder of annotated images.
    variant : str
        As for `average_precision`, except ``pooled``, which has no score per image.
    common_only : bool
        Compare on the images common to all submissions, instead of refusing when they differ.
    all_truth : bool
        Count truth images that no submission has as images without prediction, instead of
        leaving them out.
    settings : ComparisonConfig
        Overlap rule, tuning of cutoffs, and so on.
    sources : Sources, optional
        Names for the ids in COCO results; images for model folders.
    n_draws, seed : int
        Of the bootstrap, the permutation test and the folds.

    Raises
    ------
    ConfigError
        The variant has no score per image, or both `common_only` and `all_truth` are given.
    DataError, LabelError, RleError, ModelError
        `truth` or a submission cannot be read.
    SubmissionError
        Fewer than two submissions, one breaks a rule of the competition, or they cover different
        images.
    """
    if len(submissions) < 2:
        raise SubmissionError(_TOO_FEW)
    remarks: list[str] = []
    true_images = read_truth(truth, remarks)
    return compare_outputs(
        read_outputs(submissions, shapes_of(true_images), names_from_truth(sources, truth)),
        true_images,
        variant=variant,
        common_only=common_only,
        all_truth=all_truth,
        settings=settings,
        n_draws=n_draws,
        seed=seed,
        remarks=remarks,
    )


def compare_outputs(
    outputs: Sequence[MethodOutput],
    truth: Truth,
    *,
    variant: Variant = "competition",
    common_only: bool = False,
    all_truth: bool = False,
    settings: ComparisonConfig = DEFAULTS,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    remarks: Sequence[str] = (),
) -> Comparison:
    """Compare outputs and truth that are already in memory; otherwise like `compare`.

    Remarks on the truth are added to those of the comparison. The names of the outputs must differ.
    """
    if len(outputs) < 2:
        raise SubmissionError(_TOO_FEW)
    names = [output.name for output in outputs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SubmissionError(f"two outputs have the name {twice[0]!r}; each needs its own")
    if variant == "pooled":
        raise ConfigError("variant pooled has no scores of single images to pair; take another")
    images, of_images = compared_images(
        list(truth),
        {output.name: output.detections.keys() for output in outputs},
        common_only=common_only,
        all_truth=all_truth,
        without_empty=[output.name for output in outputs if not output.lists_empty],
    )
    remarks = [*remarks, *of_images]
    truth = {name: truth[name] for name in images}
    folds = image_folds(truth, settings.n_folds, np.random.default_rng(seed))
    prepared = [prepare(output, truth, folds, settings) for output in outputs]
    for output, one in zip(outputs, prepared, strict=True):
        remarks += [*output.remarks, *one.remarks, *one.count_limits(truth)]
    groups = [image.group for image in truth.values()]
    remarks += [*independence_remark(groups), *coverage_remark(groups)]
    if settings.coco:
        prepared, remark = _with_coco(prepared, truth)
        remarks += remark
    cells = [one.cells for one in prepared]
    evidence = _gather(cells, truth, variant, n_draws, seed)
    return Comparison(
        methods=tuple(one.method for one in prepared),
        scores=evidence.scores,
        pairs=paired_differences(names, evidence, settings),
        breakdowns=all_breakdowns(evidence),
        ranking=rank(names, evidence),
        remarks=tuple(remarks),
        hidden_images=settings.hidden_images,
        public_share=settings.public_share,
        truths=masks_of(truth),
        predicted=tuple(cells),
    )


def _with_coco(prepared: list[Prepared], truth: Truth) -> tuple[list[Prepared], list[str]]:
    """Add COCO's precision to every method, or give a remark that says why not."""
    if not has_coco_tools():
        return prepared, [f"COCO precision is not given; {INSTALL} adds it"]
    truths = masks_of(truth)
    return [
        replace(one, method=replace(one.method, coco=coco_precision(truths, one.detections)))
        for one in prepared
    ], []


def _gather(
    methods: Sequence[Mapping[str, CellMasks]],
    truth: Truth,
    variant: Variant,
    n_draws: int,
    seed: int,
) -> Evidence:
    return Evidence(
        scores=tuple(
            score_against(truth, cells, variant=variant, n_draws=n_draws, seed=seed)
            for cells in methods
        ),
        found=tuple(
            tuple(
                find_cells(image.masks, cells.get(name, CellMasks.empty(image.masks.shape)))
                for name, image in truth.items()
            )
            for cells in methods
        ),
        n_draws=n_draws,
        seed=seed,
    )
