"""The images that want looking at come first, each with its reason."""

from dataclasses import replace

import numpy as np

from cellflow.data.rle import dense_to_masks
from cellflow.metrics.score import score_images
from cellflow.records import CellMasks
from cellflow.report.ranking import agreement, rank_images
from cellflow.report.subject import Subject

SHAPE = (40, 400)


def cells(n_cells, size=4, shift=0):
    stack = np.zeros((n_cells, *SHAPE), bool)
    for k in range(n_cells):
        stack[k, shift : shift + size, 10 * k : 10 * k + size] = True
    return dense_to_masks(stack) if n_cells else CellMasks.empty(SHAPE)


def subject_of(*models):
    names = tuple(f"i{k}" for k in range(len(models[0])))
    return Subject(
        models=tuple("ab"[: len(models)]),
        images=names,
        cell_types=(None,) * len(names),
        truths=None,
        predicted=tuple(
            {n: m for n, m in zip(names, found, strict=True) if m is not None} for found in models
        ),
        shapes=dict.fromkeys(names, SHAPE),
    )


def ranked(*models):
    return {f"i{one.index}": one.reasons for one in rank_images(subject_of(*models))}


def test_with_truth_the_lowest_mean_score_comes_first():
    truths = {"i0": cells(4), "i1": cells(4), "i2": cells(4)}
    found = [{"i0": cells(3), "i1": cells(4), "i2": cells(1)}, {"i0": cells(4), "i1": cells(4)}]
    scores = tuple(score_images(truths, one, rng=np.random.default_rng(0)) for one in found)
    subject = Subject(
        models=("a", "b"),
        images=tuple(truths),
        cell_types=(None,) * 3,
        truths=truths,
        predicted=tuple(found),
        shapes=dict.fromkeys(truths, SHAPE),
        scores=scores,
    )
    assert [one.index for one in rank_images(subject)] == [2, 0, 1]


def test_images_without_cells_few_cells_or_large_cells_say_so():
    order = ranked([cells(20)] * 5 + [cells(0), cells(3), cells(20, size=9), cells(19)])
    assert next(iter(order)) == "i5"
    assert order["i5"] == ("no cell",)
    assert order["i6"] == ("few cells",)
    assert order["i7"] == ("large cells",)
    assert order["i8"] == order["i0"] == ()


def test_an_image_on_which_the_models_disagree_comes_before_the_others():
    alike = [cells(10)] * 6
    other = [cells(10, shift=1)] * 5 + [cells(10, shift=9)]
    order = ranked(alike, other)
    assert next(iter(order)) == "i5"
    assert order["i5"] == ("the models disagree",)


def test_an_image_that_one_file_lacks_is_named_with_the_file():
    order = ranked([cells(5)] * 3, [cells(5), None, cells(0)])
    assert order["i1"] == ("not in the file of b",)
    assert order["i2"] == ("no cell by b",)


def test_too_few_images_say_nothing_about_what_is_usual():
    assert set(ranked([cells(1), cells(30), cells(5), cells(5)]).values()) == {()}


def test_agreement_is_perfect_for_equal_models_and_unknown_for_one():
    assert agreement(subject_of([cells(3)], [cells(3)])).tolist() == [1]
    assert np.isnan(agreement(subject_of([cells(3)]))).all()


def test_images_of_which_the_model_is_not_sure_say_so():
    subject = subject_of([cells(3)] * 6)
    sure = {f"i{k}": np.full(3, 0.9 - 0.01 * k, np.float32) for k in range(6)}
    sure["i4"] = np.full(3, 0.3, np.float32)
    (first, *others) = rank_images(replace(subject, confidences=(sure,)))
    assert (first.index, first.reasons) == (4, ("low confidence",))
    assert not any(one.reasons for one in others)
