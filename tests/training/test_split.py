"""Held-out images: a fold of a file, a share, or honestly none."""

import pytest

from cellflow.data.entrance import open_dataset
from cellflow.errors import ConfigError, DataError
from cellflow.training.split import split_dataset


def test_a_share_is_held_out_and_both_sides_make_the_whole(disc_folder):
    dataset = open_dataset(disc_folder(10))
    split = split_dataset(dataset, 0.2)
    assert len(split.validation) == 2
    assert sorted([*split.train, *split.validation]) == [e.name for e in dataset.annotated]
    assert "20%" in split.reason


def test_none_is_held_out_when_none_is_asked_for_or_there_is_only_one(disc_folder):
    dataset = open_dataset(disc_folder(1))
    assert split_dataset(dataset, 0.0).reason == "none asked for"
    split = split_dataset(dataset, 0.2)
    assert (list(split.train), list(split.validation)) == (["disc0"], [])
    assert "too few" in split.reason


def test_a_file_that_is_no_folds_file_is_refused(disc_folder, tmp_path):
    dataset = open_dataset(disc_folder(2))
    (tmp_path / "folds.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"folds\.json: broken \(not a JSON object\)"):
        split_dataset(dataset, 0.2, tmp_path / "folds.json")
    with pytest.raises(ConfigError):
        split_dataset(dataset, 1.5)
