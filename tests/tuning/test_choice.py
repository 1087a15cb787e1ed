"""Choices that do not look at what they are scored on."""

import numpy as np
import pytest

from cellflow.errors import ConfigError
from cellflow.tuning.choice import assign_folds, choose, choose_on_folds


def test_each_type_gets_its_own_best_and_few_images_the_common_one():
    kinds = ["a"] * 5 + ["b"] * 5 + ["c"] * 4
    scores = np.zeros((14, 3))
    scores[:5, 1], scores[5:10, 2], scores[10:, 0] = 0.3, 0.5, 0.9
    assert choose(scores, kinds) == {"": 0, "a": 1, "b": 2}


def test_of_equal_candidates_the_first_is_taken():
    assert choose(np.ones((6, 4)), [None] * 6) == {"": 0}


def test_pure_chance_is_worth_nothing_on_held_out_images(rng):
    scores = rng.normal(0, 1, (200, 50))
    folds = assign_folds([None] * 200, [None] * 200, 5, rng)
    nested = choose_on_folds(scores, [None] * 200, folds)
    assert nested.same_images_score > 0.1
    assert abs(nested.scores.mean()) < 0.2


def test_an_image_never_has_a_say_in_its_own_choice():
    # Image 0 alone would have candidate 1 chosen; its own fold must not hear it.
    scores = np.array([[0.0, 100.0]] + [[1.0, 0.0]] * 9)
    nested = choose_on_folds(scores, [None] * 10, np.arange(10) % 5)
    assert nested.held_out[0] == 0
    assert nested.held_out[5] == 0
    assert nested.choice == {"": 1}
    assert nested.held_out[1] == 1
    assert nested.scores[0] == 0


def test_folds_spread_types_and_keep_groups_whole(rng):
    kinds = ["a"] * 10 + ["b"] * 5
    groups = [f"w{k // 2}" for k in range(10)] + [None] * 5
    folds = assign_folds(kinds, groups, 5, rng)
    assert sorted(np.bincount(folds).tolist()) == [3] * 5
    for k in range(0, 10, 2):
        assert folds[k] == folds[k + 1]
    assert sorted(folds[10:].tolist()) == [0, 1, 2, 3, 4]


def test_fewer_groups_than_folds_make_fewer_folds(rng):
    assert sorted(assign_folds([None] * 3, [None] * 3, 5, rng).tolist()) == [0, 1, 2]
    assert assign_folds([None] * 3, ["w"] * 3, 5, rng).tolist() == [0, 0, 0]


def test_one_fold_is_refused(rng):
    with pytest.raises(ConfigError, match="two folds or more, found 1"):
        assign_folds([None], [None], 1, rng)
    with pytest.raises(ConfigError, match="none is left for scoring"):
        choose_on_folds(np.ones((3, 2)), [None] * 3, np.zeros(3, np.int64))
