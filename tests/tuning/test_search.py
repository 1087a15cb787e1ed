"""Settings are chosen on plateaus, and only where they gain on images that did not choose them."""

import numpy as np
import pytest

from cellflow.tuning.search import best_place, choose_settings, climb, judge

FOLDS = np.arange(12) % 4
GROUPS = [f"g{k}" for k in range(12)]
KINDS = ["astro", "cort"] * 6


def peak(n, at, height, size=(7, 5)):
    """Scores of n images, highest around a place and falling off."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    hill = height * np.exp(-((rows - at[0]) ** 2 + (columns - at[1]) ** 2) / 4)
    return np.repeat(hill[None], n, axis=0).astype(np.float32)


def test_a_plateau_beats_a_lucky_needle():
    scores = peak(5, (2, 2), 0.5)
    scores[:, 6, 4] = 0.55
    assert best_place(scores, (0, 0), (0, 1)) == (2, 2)


def test_of_equal_places_the_one_nearest_to_what_is_in_use():
    scores = np.zeros((3, 6, 4), np.float32)
    assert best_place(scores, (4, 1), (0, 1)) == (4, 1)
    scores[:, :3] = 0.5
    assert best_place(scores, (4, 1), (0, 1)) == (1, 1)


def test_each_type_gets_its_own_where_that_gains():
    scores = np.zeros((12, 7, 5), np.float32)
    scores[0::2], scores[1::2] = peak(6, (1, 1), 0.5), peak(6, (5, 3), 0.3)
    scores += np.random.default_rng(0).normal(0, 0.02, scores.shape).astype(np.float32)
    choice = choose_settings(scores, KINDS, GROUPS, FOLDS, (3, 2))
    assert choice.of_type("astro") == (1, 1)
    assert choice.of_type("cort") == (5, 3)
    assert choice.of_type(None) == choice.of_type("shsy5y")
    assert choice.verdicts["cort"].gain > 0.1


def test_noise_alone_moves_nothing_on_most_draws():
    moved = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores = rng.normal(0.3, 0.1, (12, 1, 1)) + rng.normal(0, 0.02, (12, 7, 5))
        choice = choose_settings(scores.astype(np.float32), KINDS, GROUPS, FOLDS, (3, 2))
        moved += set(choice.places.values()) != {(3, 2)}
    # Nine questions at the least, each passed by luck about one time in forty.
    assert moved <= 12


def test_images_of_one_group_are_one_observation(rng):
    scores = peak(12, (1, 1), 0.1) + rng.normal(0, 0.02, (12, 1, 1)).astype(np.float32)
    alone = judge(scores, np.arange(12), FOLDS, (3, 2), (0, 1))
    pairs = judge(scores, FOLDS, FOLDS, (3, 2), (0, 1))
    assert (alone.n_groups, pairs.n_groups) == (12, 4)
    assert pairs.lower_bound < alone.lower_bound


def test_too_few_images_of_a_type_get_what_all_get():
    scores = peak(12, (1, 1), 0.5)
    kinds = ["astro"] * 8 + ["cort"] * 4
    choice = choose_settings(scores, kinds, GROUPS, FOLDS, (3, 2))
    assert set(choice.verdicts) == {"", "astro"}
    assert choice.of_type("cort") == choice.places[""]


def test_a_gain_is_told_by_folds_that_did_not_choose():
    # Every image likes its own place only, so what others choose is worth nothing to it.
    scores = np.zeros((4, 1, 9), np.float32)
    scores[np.arange(4), 0, [0, 3, 6, 8]] = 0.9
    scores[:, 0, 4] = 0.1
    found = judge(scores, np.arange(4), np.arange(4), (0, 4), (1,))
    assert found.gain < 0
    assert not found.is_kept
    alone = judge(scores, np.arange(4), np.zeros(4, int), (0, 4), (1,))
    assert np.isnan(alone.error)
    assert not alone.is_kept
    good = judge(peak(6, (1, 1), 0.5), np.arange(6), np.arange(6), (6, 4), (0, 1))
    assert good.gain == pytest.approx(0.5, abs=0.01)


def test_changes_follow_each_other_until_none_gains():
    # Three axes, each with its own gain at place 2; none depends on another.
    scores = np.zeros((8, 4, 4, 4), np.float32)
    for axis in range(3):
        gains = np.array([0.0, 0.05, 0.1, 0.05]).reshape([-1 if k == axis else 1 for k in range(3)])
        scores += gains.astype(np.float32)
    scores += np.random.default_rng(0).normal(0, 0.001, scores.shape).astype(np.float32)
    place, verdict = climb(scores, np.arange(8), np.arange(8) % 4, (0, 0, 0))
    assert place == (2, 2, 2)
    assert verdict.gain == pytest.approx(0.3, abs=0.01)


def test_a_place_along_one_axis_keeps_the_others():
    scores = peak(5, (2, 2), 0.5)
    assert best_place(scores, (6, 4), (0,)) == (2, 4)
    assert best_place(scores, (6, 4), (1,)) == (6, 2)


def test_where_there_is_nothing_to_choose_all_stays_as_it_is(rng):
    scores = rng.random((12, 1, 1)).astype(np.float32)
    place, verdict = climb(scores, np.arange(12), FOLDS, (0, 0))
    assert place == (0, 0)
    assert verdict.gain == 0
    assert not verdict.is_kept
