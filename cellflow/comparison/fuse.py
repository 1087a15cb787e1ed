"""Fuse several methods into one submission; the rule is chosen on folds, for each cell type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.atomic import check_outputs
from cellflow.comparison.coverage import compared_images
from cellflow.comparison.fusion_rules import FusionRule, all_rules, fuse_cells
from cellflow.comparison.fusion_table import fusion_table
from cellflow.comparison.importers import Sources, names_from_truth, read_outputs
from cellflow.comparison.power import paired_p_value
from cellflow.comparison.preparation import Prepared, image_folds, prepare
from cellflow.comparison.truth import Truth, read_truth, score_against, shapes_of
from cellflow.config import ComparisonConfig
from cellflow.data.images import find_images, read_image
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, DataError, SubmissionError
from cellflow.interval import Interval
from cellflow.metrics.bootstrap import N_DRAWS, paired_difference
from cellflow.metrics.by_type import indices_by_type
from cellflow.metrics.found_cells import find_cells
from cellflow.metrics.score import Score
from cellflow.records import CellMasks, Detections, Shape
from cellflow.tuning.choice import ALL_TYPES, choose, given

DEFAULTS = ComparisonConfig()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fusion:
    """Several methods fused into one.

    Parameters
    ----------
    names : tuple of str
        Of the methods.
    rules : dict of str to str
        The rule, in words, for each cell type, chosen on all images with truth; under "" the rule
        for other images.
    rule_scores : dict of str to dict of str to float
        The mean score of each type's images with each rule; under "" the mean of all images.
    nested : Score
        Each fold fused with the rules and cutoffs that the other folds chose: the score to expect.
    same_images_score : float
        mAP of the images with truth, with the rules chosen on them; too high through selection.
    best_alone : str
        The best single method on the same images.
    gain : Interval
        Nested score minus that of `best_alone`, paired by image.
    p_value : float
        Of the gain, by sign flips.
    n_folds : int
    cells : dict of image name to CellMasks
        The fused cells of all images, without overlap.
    remarks : tuple of str
    """

    names: tuple[str, ...]
    rules: dict[str, str]
    rule_scores: dict[str, dict[str, float]]
    nested: Score
    same_images_score: float
    best_alone: str
    gain: Interval
    p_value: float
    n_folds: int
    cells: dict[str, CellMasks]
    remarks: tuple[str, ...]

    def table(self) -> str:
        """Give the chosen rules and their scores as text."""
        return fusion_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Give the same as plain values, for JSON."""
        gain = self.gain
        return {
            "names": list(self.names),
            "rules": self.rules,
            "rule_scores": self.rule_scores,
            "nested": self.nested.to_dict(),
            "same_images_score": self.same_images_score,
            "best_alone": self.best_alone,
            "gain": {"estimate": gain.estimate, "low": gain.low, "high": gain.high},
            "p_value": self.p_value,
            "n_folds": self.n_folds,
            "images": len(self.cells),
            "cells": sum(map(len, self.cells.values())),
            "remarks": list(self.remarks),
        }


def fuse(
    entries: Sequence[Path | str],
    truth: Path | str,
    out: Path | str,
    *,
    common_only: bool = False,
    settings: ComparisonConfig = DEFAULTS,
    sources: Sources | None = None,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Fusion:
    """Fuse several methods into one submission.

    Parameters
    ----------
    entries : sequence of path
        Two or more, of any kind that `comparison.importers` lists.
    truth : path
        As for `compare`. Images without truth are fused too, with the rules chosen on the others;
        their size must be known from the pictures in `sources`.
    out : path
        The submission to write.
    common_only : bool
        Fuse the images common to all entries, instead of refusing when they differ.
    settings : ComparisonConfig
        Overlap rule, tuning of cutoffs, number of folds.
    sources : Sources, optional
    n_draws, seed : int
        Of the bootstrap, and of the folds.

    Raises
    ------
    ConfigError
        `out` is not a ``.csv``.
    DataError, LabelError, RleError, ModelError
        `truth` or an entry cannot be read, or all images are of one group.
    SubmissionError
        Fewer than two entries, or they cover different images.
    """
    if Path(out).suffix.lower() != ".csv":
        raise ConfigError(f"--out {out}: expected a submission .csv")
    check_outputs(map(Path, [*entries, truth]), [Path(out)])
    if len(entries) < 2:
        raise SubmissionError("there is nothing to fuse in fewer than two entries")
    of_truth: list[str] = []
    true_images = read_truth(truth, of_truth)
    shapes = shapes_of(true_images) | _other_shapes(sources, true_images)
    outputs = read_outputs(entries, shapes, names_from_truth(sources, truth))
    images, remarks = compared_images(
        list(shapes),
        {output.name: output.detections.keys() for output in outputs},
        common_only=common_only,
        without_empty=[output.name for output in outputs if not output.lists_empty],
    )
    remarks = [*of_truth, *remarks]
    known = {name: true_images[name] for name in images if name in true_images}
    if not known:
        raise SubmissionError(f"no image of {truth} is covered by all: no rule can be chosen")
    folds = image_folds(known, settings.n_folds, np.random.default_rng(seed))
    if len(set(folds.values())) < 2:
        raise DataError(f"{truth}: all images are of one group; a rule needs two folds or more")
    prepared = [prepare(output, known, folds, settings, images) for output in outputs]
    for output, one in zip(outputs, prepared, strict=True):
        remarks += [*output.remarks, *one.remarks]
    fusion = _choose(prepared, known, folds, images, remarks, n_draws, seed)
    write_submission(out, fusion.cells.items())
    return fusion


def _other_shapes(sources: Sources | None, truth: Truth) -> dict[str, Shape]:
    """Give the sizes of pictures without truth."""
    if sources is None or not sources.images:
        return {}
    pictures = {path.stem: path for path in find_images(sources.images)}
    return {
        name: (picture.shape[-2], picture.shape[-1])
        for name, path in pictures.items()
        if name not in truth
        for picture in [read_image(path)]
    }


def _choose(
    prepared: Sequence[Prepared],
    truth: Truth,
    folds: Mapping[str, int],
    images: Sequence[str],
    remarks: Sequence[str],
    n_draws: int,
    seed: int,
) -> Fusion:
    """Choose the rule for each cell type, and score that choice on held-out folds."""
    rules = all_rules(len(prepared))
    names = tuple(one.method.name for one in prepared)
    kinds = [image.cell_type for image in truth.values()]
    nested = _nested(prepared, truth, folds, rules)
    cutoffs = [one.cutoffs.on_all_images if one.cutoffs else {} for one in prepared]
    final = {
        name: [one.cut(name, cut) for one, cut in zip(prepared, cutoffs, strict=True)]
        for name in images
    }
    table = _rule_scores({name: final[name] for name in truth}, truth, rules)
    choice = choose(table, kinds)
    chosen = given(choice, [truth[name].cell_type if name in truth else None for name in images])
    score = score_against(truth, nested, n_draws=n_draws, seed=seed)
    alone = [table[:, number].mean() for number in range(len(prepared))]
    best = int(np.argmax(alone))
    best_score = score_against(truth, prepared[best].cells, n_draws=n_draws, seed=seed)
    numbers = given(choice, kinds)
    return Fusion(
        names=names,
        rules={kind: rules[number].describe(names) for kind, number in choice.items()},
        rule_scores=_means(table, kinds, [rule.describe(names) for rule in rules]),
        nested=score,
        same_images_score=float(table[np.arange(len(table)), numbers].mean()),
        best_alone=names[best],
        gain=paired_difference(
            score.image_scores,
            best_score.image_scores,
            rng=np.random.default_rng(seed),
            strata=score.cell_types,
            clusters=score.groups,
            n_draws=n_draws,
        ),
        p_value=paired_p_value(score.image_scores - best_score.image_scores, score.groups, seed)[0],
        n_folds=len(set(folds.values())),
        cells={
            name: fuse_cells(rules[number], final[name])
            for name, number in zip(images, chosen.tolist(), strict=True)
        },
        remarks=(*remarks, *score.remarks),
    )


def _nested(
    prepared: Sequence[Prepared],
    truth: Truth,
    folds: Mapping[str, int],
    rules: Sequence[FusionRule],
) -> dict[str, CellMasks]:
    """Fuse each fold with the rule and the cutoffs that the other folds chose."""
    kinds = [image.cell_type for image in truth.values()]
    fold_of = np.array([folds[name] for name in truth])
    is_cut = any(one.cutoffs for one in prepared)
    fused: dict[str, CellMasks] = {}
    table: NDArray[np.float64] | None = None
    for fold in np.unique(fold_of).tolist():
        cutoffs = [one.cutoffs.per_fold[fold] if one.cutoffs else {} for one in prepared]
        methods = {
            name: [one.cut(name, cut) for one, cut in zip(prepared, cutoffs, strict=True)]
            for name in truth
        }
        # Without cutoffs the cells, and therefore the scores, are the same for all folds.
        if table is None or is_cut:
            table = _rule_scores(methods, truth, rules)
        others = np.flatnonzero(fold_of != fold)
        choice = choose(table[others], [kinds[image] for image in others])
        for name, number in zip(truth, given(choice, kinds).tolist(), strict=True):
            if folds[name] == fold:
                fused[name] = fuse_cells(rules[number], methods[name])
    return {name: fused[name] for name in truth}


def _rule_scores(
    methods: Mapping[str, Sequence[Detections]], truth: Truth, rules: Sequence[FusionRule]
) -> NDArray[np.float64]:
    """Give the score of each image with each rule, (N, R)."""
    return np.array(
        [
            [
                find_cells(image.masks, fuse_cells(rule, methods[name])).precision.mean()
                for rule in rules
            ]
            for name, image in truth.items()
        ]
    )


def _means(
    table: NDArray[np.float64], kinds: Sequence[str | None], rules: Sequence[str]
) -> dict[str, dict[str, float]]:
    means = {ALL_TYPES: table.mean(axis=0)}
    for kind, own in indices_by_type(kinds).items():
        means[kind] = table[own].mean(axis=0)
    return {kind: dict(zip(rules, row.tolist(), strict=True)) for kind, row in means.items()}
