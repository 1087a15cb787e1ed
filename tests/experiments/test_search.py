"""A grid's setting is chosen on the other folds, and the honest score is less than the best."""

import numpy as np
import pytest
from made_rows import halves, variant

from cellflow.experiments.search import searches
from cellflow.experiments.table import search_table

NAMES = [f"i{k}" for k in range(12)]


def lucky(fold):
    """A setting that is good on one half of the images only."""
    return {name: 0.5 if (k < 6) == (fold == 0) else 0.1 for k, name in enumerate(NAMES)}


@pytest.fixture
def rows():
    plain = halves("plain", dict.fromkeys(NAMES, 0.25))
    return [*plain, *halves("a x=0", lucky(0)), *halves("a x=1", lucky(1))]


VARIANTS = [variant("plain"), variant("a x=0", group="a"), variant("a x=1", group="a")]


def test_luck_on_a_fold_is_not_carried_to_its_own_images(rows):
    plain, search = searches(rows, VARIANTS)
    # Each fold's images get the setting that was lucky on the other half.
    assert search.score.estimate == pytest.approx(0.1)
    assert search.same_images_score == pytest.approx(0.3)
    assert (search.n_candidates, plain.n_candidates) == (2, 1)
    assert plain.score.estimate == plain.same_images_score == pytest.approx(0.25)
    assert search.difference.interval.estimate == pytest.approx(-0.15)
    assert plain.difference is None


def test_a_setting_that_is_better_everywhere_is_chosen(rows):
    better = [*rows, *halves("a x=2", dict.fromkeys(NAMES, 0.6))]
    search = searches(better, [*VARIANTS, variant("a x=2", group="a")])[1]
    assert search.score.estimate == pytest.approx(0.6)
    assert search.chosen == ("a x=2",)


def test_nothing_is_said_of_a_grid_that_is_not_done_or_of_none(rows):
    assert searches(rows[:-1], VARIANTS) == []
    assert searches(rows[:2], VARIANTS[:1]) == []


def test_the_table_says_what_was_chosen_and_that_the_last_column_is_too_high(rows):
    text = search_table(searches(rows, VARIANTS))
    assert "| a | 0.100 |" in text
    assert "a x=0, a x=1" in text
    assert "| 0.300 |" in text
    assert "too high" in text


def test_the_choice_weighs_all_seeds(rows):
    other = [*halves("plain", dict.fromkeys(NAMES, 0.25), seed=1)]
    for k in (0, 1):
        other += halves(f"a x={k}", dict.fromkeys(NAMES, 0.9 if k else 0.0), seed=1)
    search = searches([*rows, *other], VARIANTS)[1]
    assert search.chosen == ("a x=1",)
    assert search.score.estimate == pytest.approx(np.mean([(0.3 + 0.9) / 2]))


def test_a_seed_that_only_some_settings_have_does_not_weigh(rows):
    lucky_seed = halves("a x=1", dict.fromkeys(NAMES, 0.9), seed=1)
    assert searches([*rows, *lucky_seed], VARIANTS) == searches(rows, VARIANTS)
