"""Cutoffs by score and area, chosen on folds."""

import numpy as np
import pytest

from cellflow.comparison.cutoffs import tune_cutoffs
from cellflow.comparison.preparation import image_folds
from cellflow.data.dataset import TrueImage
from cellflow.data.rle import rle_to_masks
from cellflow.inference.overlap_rules import resolve_overlap
from cellflow.metrics.found_cells import find_cells
from cellflow.records import Detections

SHAPE = (1, 100)
# Two cells; the spurious ones lie between.
TRUE, SPURIOUS, TINY = ["1 9", "40 9"], ["20 9"], ["60 2"]


def image(kind="cort", group=None):
    return TrueImage(masks=rle_to_masks(TRUE, SHAPE), cell_type=kind, group=group)


def detections(name, scores, runs=(*TRUE, *SPURIOUS), types=None):
    return Detections(
        name=name,
        masks=rle_to_masks(list(runs), SHAPE),
        scores=np.array(scores, np.float32),
        cell_types=types,
    )


def tuned(truth, found):
    found = {one.name: one for one in found}
    resolved = {name: resolve_overlap(one) for name, one in found.items()}
    folds = image_folds(truth, 5, np.random.default_rng(0))
    return tune_cutoffs(resolved, found, truth, folds)


def test_a_spurious_cell_of_low_score_is_cut():
    truth = {f"i{k}": image() for k in range(10)}
    found = [detections(name, [0.9, 0.8, 0.3]) for name in truth]
    cutoffs = tuned(truth, found)
    assert 0.3 < cutoffs.tuned.per_cell_type["cort"][0] <= np.float32(0.8)
    assert cutoffs.tuned.nested_score == cutoffs.tuned.same_images_score == 1
    assert set(cutoffs.of_image) == set(truth)


def test_a_spurious_cell_that_is_sure_but_tiny_is_cut_by_its_area():
    truth = {f"i{k}": image() for k in range(10)}
    found = [detections(name, [0.5, 0.5, 0.9], (*TRUE, *TINY)) for name in truth]
    assert tuned(truth, found).tuned.per_cell_type["cort"] == (0.5, 9)


def test_each_type_has_its_own_cutoff():
    truth = {f"i{k}": image("cort" if k < 7 else "astro") for k in range(14)}
    sure, unsure = [0.9, 0.9, 0.5], [0.4, 0.4, 0.1]
    found = [detections(name, sure if k < 7 else unsure) for k, name in enumerate(truth)]
    chosen = tuned(truth, found).tuned
    assert chosen.per_cell_type["cort"][0] > 0.5
    assert 0.1 < chosen.per_cell_type["astro"][0] <= np.float32(0.4)
    assert chosen.types_from == "truth"
    assert chosen.nested_score == 1


def test_types_that_the_detections_tell_are_used_when_the_truth_has_them():
    truth = {f"i{k}": image("cort" if k < 5 else "astro") for k in range(10)}
    found = [detections(name, [0.9, 0.8, 0.1], types=("Cort", "Cort", "Astro")) for name in truth]
    chosen = tuned(truth, found).tuned
    assert chosen.types_from == "detections"
    assert set(chosen.per_cell_type) == {"", "cort"}
    found = [detections(name, [0.9, 0.8, 0.1], types=("person",) * 3) for name in truth]
    assert tuned(truth, found).tuned.types_from == "truth"


def test_the_nested_score_is_not_that_of_the_images_chosen_on(rng):
    # Scores say nothing, so any cutoff that seems to help does so by chance.
    truth = {f"i{k}": image() for k in range(10)}
    found = [detections(name, rng.random(3)) for name in truth]
    cutoffs = tuned(truth, found)
    assert cutoffs.tuned.nested_score < cutoffs.tuned.same_images_score


def test_tabulated_scores_are_those_of_the_cut_cells():
    truth = {f"i{k}": image() for k in range(6)}
    found = [detections(name, [0.9, 0.2 + 0.1 * k, 0.5]) for k, name in enumerate(truth)]
    cutoffs = tuned(truth, found)
    scores = []
    for name, one in zip(truth, found, strict=True):
        score, area = cutoffs.of_image[name]
        kept = (one.scores >= score) & (one.masks.areas >= area)
        cut = find_cells(truth[name].masks, one.masks.select(kept))
        scores.append(cut.precision.mean())
    assert np.mean(scores) == pytest.approx(cutoffs.tuned.nested_score)


def test_images_of_one_group_cannot_be_split():
    truth = {f"i{k}": image(group="well") for k in range(6)}
    assert tuned(truth, [detections(name, [0.9, 0.8, 0.3]) for name in truth]) is None


def test_no_detection_at_all_needs_no_cutoff():
    truth = {f"i{k}": image() for k in range(6)}
    cutoffs = tuned(truth, [detections(name, [], ()) for name in truth])
    assert cutoffs.tuned.nested_score == 0
    assert cutoffs.of_image["i0"] == (-np.inf, 0)


def test_an_image_without_truth_gets_what_all_images_chose_and_has_no_say():
    truth = {f"i{k}": image() for k in range(10)}
    found = [detections(name, [0.9, 0.8, 0.3]) for name in truth]
    new = detections("new", [0.1, 0.1, 0.1])
    cutoffs = tuned(truth, [*found, new])
    assert cutoffs.on_all_images["new"] == cutoffs.tuned.per_cell_type[""]
    assert "new" not in cutoffs.of_image
    assert cutoffs.tuned == tuned(truth, found).tuned


def test_what_a_fold_gets_is_what_was_chosen_without_it():
    truth = {f"i{k}": image() for k in range(10)}
    found = [detections(name, [0.9, 0.2 + 0.05 * k, 0.5]) for k, name in enumerate(truth)]
    cutoffs = tuned(truth, found)
    folds = image_folds(truth, 5, np.random.default_rng(0))
    for name, fold in folds.items():
        assert cutoffs.per_fold[fold][name] == cutoffs.of_image[name]
        assert set(cutoffs.per_fold[fold]) == set(truth)
