"""Score against images: the fit finds a known curve, and says when it cannot."""

from dataclasses import replace

import numpy as np
import pytest
from made_rows import row, variant

from cellflow.experiments.learning_curve import (
    describe_curve,
    draw_learning_curve,
    learning_curves,
)

SIZES = (6, 12, 24)


def rows_of(score_at, noise=0.0, sizes=SIZES):
    """One variant a size; each image is off by its own luck, and a little anew at each size."""
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.1, 20)
    found = []
    for size in sizes:
        values = score_at(size) + luck + rng.normal(0, noise, 20)
        scores = {f"i{k}": float(value) for k, value in enumerate(values)}
        found.append(row(f"{size} images", scores, n_train=size))
    return found


def variants(sizes=SIZES, **options):
    return [variant(f"{n} images", n_images=n, **options) for n in sizes]


def a_root(n):
    return 0.5 - 0.6 / np.sqrt(n)


def test_ten_more_images_bring_what_the_true_curve_says():
    (curve,) = learning_curves(rows_of(a_root), variants())
    gain = curve.gain("a − b / √n")
    assert gain.estimate == pytest.approx(a_root(34) - a_root(24))
    assert gain.low == pytest.approx(gain.high)  # the images' own luck cancels
    assert all(abs(one.estimate) < 1e-12 for one in curve.misfit("a − b / √n"))
    lines = describe_curve(curve)
    assert "6: " in lines[0]
    assert f"10 more images than 24: a − b / √n says {gain.estimate:+.4f}" in lines[1]
    assert "a + b ln n says" in lines[1]


def test_noise_widens_the_interval_which_holds_the_truth():
    (curve,) = learning_curves(rows_of(a_root, noise=0.05), variants())
    gain = curve.gain("a − b / √n")
    assert gain.low < a_root(34) - a_root(24) < gain.high
    assert gain.high - gain.low > 0.005


def test_a_flat_curve_says_that_it_cannot_be_said():
    (curve,) = learning_curves(rows_of(lambda n: 0.3, noise=0.05), variants())
    text = " ".join(describe_curve(curve))
    assert "whether 10 more help cannot be said: the interval holds 0" in text


def test_a_curve_of_another_form_is_not_trusted():
    (curve,) = learning_curves(rows_of(lambda n: 0.1 if n < 24 else 0.4, noise=0.01), variants())
    assert "do not follow a − b / √n" in " ".join(describe_curve(curve))


def test_two_sizes_are_too_few_and_one_is_no_curve():
    sizes = SIZES[:2]
    (curve,) = learning_curves(rows_of(a_root, sizes=sizes), variants(sizes))
    assert "cannot be said: 2 numbers of images, 3 or more" in describe_curve(curve)[1]
    assert learning_curves(rows_of(a_root, sizes=(6,)), variants((6,))) == []


def test_a_far_extrapolation_and_one_choice_of_images_are_said():
    (curve,) = learning_curves(rows_of(a_root, sizes=(3, 6, 12)), variants((3, 6, 12)))
    text = " ".join(describe_curve(curve))
    assert "10 more are 83% of what there is: a far extrapolation" in text
    assert "not that of the images to train on, nor the seed. More seeds would show" in text


def test_the_gain_of_every_seed_is_told_with_whose_images_it_was():
    def steeper(n):
        return 0.5 - 1.2 / np.sqrt(n)

    rows = rows_of(a_root) + [replace(row, seed=1) for row in rows_of(steeper)]
    for options, words in (({}, "the same images"), ({"subset_seed": "seed"}, "its own images")):
        (curve,) = learning_curves(rows, variants(**options))
        gains = curve.gain_by_seed("a − b / √n")
        assert gains == pytest.approx([a_root(34) - a_root(24), steeper(34) - steeper(24)])
        told = f"{gains[0]:+.4f}, {gains[1]:+.4f}"
        assert f"By seed, each with {words} to train on: {told}." in describe_curve(curve)[-1]


def test_a_seed_that_is_not_done_is_compared_on_the_images_that_it_has_at_all_sizes():
    rows = [replace(row, seed=1) for row in rows_of(a_root)]
    easy = {"easy": {**rows[0].images["i0"], "score": 1.0}}
    begun = [replace(row, fold=1, images=easy) for row in rows[1:]]
    (whole,), (curve,) = (learning_curves(each, variants()) for each in (rows, [*rows, *begun]))
    assert curve.per_seed == pytest.approx(whole.per_seed)


def test_two_variants_of_one_number_are_one_number():
    sizes = (6, 12)
    rows = rows_of(a_root, sizes=sizes)
    again = [*rows, replace(rows[1], variant="12 again")]
    given = [*variants(sizes), variant("12 again", n_images=12)]
    (curve,) = learning_curves(again, given)
    assert "cannot be said: 2 numbers of images" in describe_curve(curve)[1]


def test_variants_of_other_settings_are_other_curves():
    both = [*variants(), *(variant(f"{n} images", n_images=n, init="scratch") for n in (5, 7))]
    assert len(learning_curves(rows_of(a_root), both)) == 1


def test_the_picture_has_the_fit_ten_images_further(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "cellflow.experiments.learning_curve.draw_curves",
        lambda path, title, series, *labels, bands, **how: drawn.update(series=series, bands=bands),
    )
    (curve,) = learning_curves(rows_of(a_root), variants())
    draw_learning_curve(tmp_path / "x.png", curve)
    x, y = drawn["series"]["fitted"]
    assert (x[0], x[-1]) == (6, 34)
    assert y[-1] - curve.scores[-1].estimate == pytest.approx(a_root(34) - a_root(24))
    assert drawn["series"]["measured"][0] == [6, 12, 24]
