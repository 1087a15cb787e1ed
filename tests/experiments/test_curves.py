"""Validations on the way: averaged over folds, with a band over seeds."""

import numpy as np
import pytest
from made_rows import row, variant

from cellflow.experiments.curves import draw_validations, seed_curves
from cellflow.experiments.pages import write_page
from cellflow.experiments.plan import Experiment
from cellflow.experiments.results import summarize
from cellflow.pictures.scales import fit_scale


def runs(name, seed, offset=0.0, folds=(0, 1)):
    """Two folds, of three images and one; both validate at 10, 20 and 30 steps."""
    sizes = {0: ("x", "y", "z"), 1: ("v",)}
    return [
        row(
            name, dict.fromkeys(sizes[fold], 0.3), fold=fold, seed=seed,
            curve=[(10 * k, 60.0 * k, offset + 0.1 * k + 0.04 * fold) for k in (1, 2, 3)],
        )
        for fold in folds
    ]  # fmt: skip


def test_a_seed_is_the_mean_over_all_held_out_images():
    ((x, y),) = seed_curves(runs("a", 0), 2, "steps")
    np.testing.assert_allclose(x, [10, 20, 30])
    np.testing.assert_allclose(y, [0.11, 0.21, 0.31])  # a quarter of the images has 0.04 more
    ((minutes, _),) = seed_curves(runs("a", 0), 2, "minutes")
    np.testing.assert_allclose(minutes, [1, 2, 3])


def test_a_seed_that_lacks_a_fold_is_left_out():
    rows = [*runs("a", 0), *runs("a", 1, folds=(1,))]
    assert len(seed_curves(rows, 2, "steps")) == 1


def test_folds_that_validate_at_other_steps_are_interpolated_where_all_have_been():
    first, _ = runs("a", 0)
    later = row("a", {"v": 0.3}, fold=1, curve=[(15, 1.0, 0.2), (25, 2.0, 0.4)])
    ((x, y),) = seed_curves([first, later], 2, "steps")
    np.testing.assert_allclose(x, [15, 20, 25])
    np.testing.assert_allclose(y, [(3 * 0.15 + 0.2) / 4, (3 * 0.2 + 0.3) / 4, (3 * 0.25 + 0.4) / 4])


@pytest.fixture
def drawn(monkeypatch):
    seen = {}

    def draw(path, title, series, x_label, y_label, *, bands, legend, within):
        seen.update(within=within, series=series, bands=bands, x_label=x_label)

    monkeypatch.setattr("cellflow.experiments.curves.draw_curves", draw)
    return seen


def test_the_band_goes_from_the_lowest_to_the_highest_seed(drawn, tmp_path):
    rows = [*runs("a", 0), *runs("a", 1, 0.1), *runs("a", 2, 0.02), *runs("b", 0, 0.2)]
    results = summarize(rows, ["a", "b"], "last")
    assert draw_validations(tmp_path / "x.png", "t", results, "last", "steps") == (["a", "b"], {})
    low, high = drawn["bands"]["a"]
    np.testing.assert_allclose(low, [0.11, 0.21, 0.31])
    np.testing.assert_allclose(high, [0.21, 0.31, 0.41])
    np.testing.assert_allclose(drawn["series"]["a"][1], [0.15, 0.25, 0.35])
    assert "b" not in drawn["bands"]  # one seed has no band


def test_of_many_variants_the_first_and_the_best_are_drawn(drawn, tmp_path):
    rows = runs("v0", 0)
    for k in range(1, 9):
        for fold, names in enumerate(("xyz", "v")):
            scores = dict.fromkeys(names, 0.1 * k)
            rows.append(row(f"v{k}", scores, fold=fold, curve=[(1, 1.0, 0.1 * k)]))
    results = summarize(rows, [f"v{k}" for k in range(9)], "last")
    names, left_out = draw_validations(tmp_path / "x.png", "t", results, "last", "steps")
    assert names == ["v0", "v8", "v7", "v6", "v5", "v4"]
    assert list(left_out) == ["v3", "v2", "v1"]
    assert set(left_out.values()) == {"beyond the 6 colours, which go to the first and the best"}


def test_variants_that_share_their_trainings_are_one_line(drawn, tmp_path):
    rows = [*runs("a", 0), *runs("b", 0), *runs("c", 0, 0.1)]
    results = summarize(rows, ["a", "b", "c"], "last")
    assert draw_validations(tmp_path / "x.png", "t", results, "last", "steps") == (
        ["a", "c"], {"b": "the same curve as 'a'"}
    )  # fmt: skip


def test_without_validations_nothing_is_drawn(tmp_path):
    results = summarize([row("a", {"x": 0.1})], ["a"], "last")
    assert draw_validations(tmp_path / "x.png", "t", results, "last", "steps") == (
        [], {"a": "no validation on the way"}
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_variant_without_a_curve_is_told_with_the_reason(drawn, tmp_path):
    apart = [
        row("apart", dict.fromkeys(names, 0.1), fold=fold, curve=[(10 + fold, 60.0, 0.1)])
        for fold, names in enumerate(("xyz", "v"))
    ]
    rows = [*runs("a", 0), *runs("half", 0, folds=(0,)), *apart]
    results = summarize(rows, ["a", "half", "apart"], "last")
    drawn_names, left_out = draw_validations(tmp_path / "x.png", "t", results, "last", "steps")
    assert drawn_names == ["a"]
    assert left_out == {
        "half": "no seed has all folds yet",
        "apart": "nowhere have all folds of a seed been validated",
    }


def nothing_found(name):
    """Two folds whose models find nothing, however long they train."""
    return [
        row(name, dict.fromkeys(names, 0.0), fold=fold, curve=[(10, 60.0, 0.0), (20, 120.0, 0.0)])
        for fold, names in enumerate(("xyz", "v"))
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("ab", " 1 other is not drawn ('b': the same curve as 'a')."),
        ("abc", " 2 others are not drawn ('b', 'c': the same curve as 'a')."),
        ("a", "while training goes on.*"),
    ],
)
def test_the_caption_says_which_are_not_drawn_and_why(tmp_path, names, words):
    rows = [each for name in names for each in nothing_found(name)]
    plan = Experiment(
        name="e", question="", n_folds=2, folds_file=None, folds_seed=0, seeds=(0,),
        rank_by="last", variants=tuple(map(variant, names)),
    )  # fmt: skip
    assert words in write_page(tmp_path, plan, rows)


def test_scores_that_are_all_0_stand_on_an_axis_that_begins_there(tmp_path, monkeypatch):
    from cellflow.pictures import curves

    scales = []

    def fit(*values, **how):
        scales.append(fit_scale(*values, **how))
        return scales[-1]

    monkeypatch.setattr(curves, "fit_scale", fit)
    results = summarize(nothing_found("a"), ["a"], "last")
    draw_validations(tmp_path / "x.png", "t", results, "last", "steps")
    assert (scales[1].low, scales[1].high) == (0.0, 0.5)
