"""The named rules, each with its own number and none in the place of another."""

import math

import numpy as np
import pytest
from made_rows import row, spread

from cellflow.experiments.ranking import in_order, rank_value
from cellflow.experiments.results import summarize
from cellflow.experiments.table import experiment_table

CURVE = [(step, float(step), 0.1 + 0.02 * (step % 2) + 0.001 * step) for step in range(1, 15)]


def test_each_rule_gives_its_own_number():
    rows = [row("a", spread(0.3), curve=CURVE)]
    scores = [score for _, _, score in CURVE]
    assert rank_value(rows, "last") == pytest.approx(0.3)
    assert rank_value(rows, "best") == max(scores)
    assert rank_value(rows, "last10") == pytest.approx(np.mean(scores[-10:]))
    assert rank_value(rows, "stability") == pytest.approx(np.std(scores[-10:], ddof=1))


def test_a_run_counts_by_its_held_out_images():
    rows = [
        row("a", {"x": 0.1, "y": 0.1, "z": 0.1}, curve=[(1, 1.0, 0.2)]),
        row("a", {"v": 0.1}, fold=1, curve=[(1, 1.0, 0.6)]),
    ]
    assert rank_value(rows, "best") == pytest.approx(0.3)


def test_the_steadiest_comes_first_and_what_is_not_ranked_last():
    assert in_order([0.2, math.nan, 0.3, 0.1], "best") == [2, 0, 3, 1]
    assert in_order([0.2, math.nan, 0.3, 0.1], "stability") == [3, 0, 2, 1]


def test_a_variant_without_validations_is_not_ranked_by_another_rule():
    rows = [row("a", spread(0.3)), row("b", spread(0.2), curve=CURVE)]
    text = experiment_table(summarize(rows, ["a", "b"], "last10"), "last10")
    assert text.index("| b |") < text.index("| a |")
    assert "not ranked" in text
    assert "'a' is not ranked: its trainings have too few validations for 'last10'" in text


def test_the_table_says_what_its_rule_means_and_when_there_are_fewer_than_ten_validations():
    results = summarize([row("a", spread(0.3), curve=CURVE[:4])], ["a"], "last10")
    assert "Ordered by 'last10': the mean of the last 10 validations" in (
        text := experiment_table(results, "last10")
    )
    assert "'a' has 4, all of which count" in text
    best = summarize([row("a", spread(0.3), curve=CURVE)], ["a"], "best")
    assert "that column is too high" in experiment_table(best, "best")
    honest = experiment_table(summarize([row("a", spread(0.3))], ["a"], "last"), "last")
    assert "by which nothing was chosen" in honest
    assert "too high" not in honest


def test_a_variant_that_is_not_done_comes_last_however_easy_its_images_were():
    rows = [
        *(row("a", spread(0.2)), row("b", spread(0.5, n=6), curve=CURVE)),
        row("c", spread(0.1), curve=CURVE),
    ]
    for rank_by in ("last", "best"):
        text = experiment_table(summarize(rows, ["a", "b", "c"], rank_by), rank_by)
        assert text.index("| c |") < text.index("| b |")
        assert "'b' is not done and not ranked: 6 images of 1 fold" in text
        assert "'b' is not ranked: its trainings" not in text
