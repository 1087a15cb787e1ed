"""Prepared images: kept first come, first served; found again on disk by their content."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from cellflow.config import DataConfig, TrainingConfig
from cellflow.data.dataset import Entry
from cellflow.errors import ConfigError, DataError
from cellflow.training import prepared
from cellflow.training.batches import CropSource
from cellflow.training.prepared import PreparedImages, prepare_entry


def images_of(entries, folder=None, *, limit=0, contents=(), data=None, keep_labels=False):
    return PreparedImages(
        entries=entries,
        data=data or DataConfig(),
        keep_labels=keep_labels,
        limit=limit,
        folder=folder,
        contents=contents,
    )


@pytest.fixture
def made(monkeypatch):
    """The names of the images that are read and prepared, in order."""
    names = []

    def watched(entry, config, **how):
        names.append(entry.name)
        return prepare_entry(entry, config, **how)

    monkeypatch.setattr(prepared, "prepare_entry", watched)
    return names


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def same(one, other):
    names = ("image", "flows", "cells", "labels")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    return one.n_channels == other.n_channels and all(
        a is b is None or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in pairs
    )


IMAGE = 64 * 80 * 9


def test_the_first_images_are_kept_and_the_others_made_each_time(disc_entries, made):
    images = images_of(disc_entries(3), limit=2 * IMAGE)
    for index in (0, 1, 2, 2, 0, 1):
        images[index]
    assert made == ["disc0", "disc1", "disc2", "disc2"]
    assert images.in_memory.n_bytes == 2 * IMAGE


def test_a_copy_for_another_process_holds_no_images(disc_entries, made):
    images = images_of(disc_entries(2), limit=10 * IMAGE)
    images[0]
    copied = pickle.loads(pickle.dumps(images))
    assert copied.in_memory.n_bytes == 0
    assert same(copied[1], images[1])
    assert copied.in_memory.n_bytes == IMAGE


@pytest.mark.parametrize("keep_labels", [False, True])
def test_what_lies_on_disk_is_found_again_exactly(disc_entries, cache, made, keep_labels):
    entries = disc_entries(2)
    first = images_of(entries, cache, contents=["a", "b"], keep_labels=keep_labels)
    later = images_of(entries, cache, contents=["a", "b"], keep_labels=keep_labels)
    assert all(same(first[k], later[k]) for k in (0, 1))
    assert made == ["disc0", "disc1"]
    assert len(files(cache)) == 2


def test_other_content_settings_or_labels_are_other_files(disc_entries, cache):
    entries = disc_entries(1)
    for how in (
        {"contents": ["a"]},
        {"contents": ["b"]},
        {"contents": ["a"], "keep_labels": True},
        {"contents": ["a"], "data": replace(DataConfig(), flatten="last_wins")},
        {"contents": ["a"], "data": replace(DataConfig(), low_percentile=2.0)},
    ):
        images_of(entries, cache, **how)[0]
    assert len(files(cache)) == 5


def test_a_broken_file_is_made_anew(disc_entries, cache, made):
    entries = disc_entries(1)
    whole = images_of(entries, cache, contents=["a"])[0]
    (path,) = files(cache)
    path.write_bytes(path.read_bytes()[:1000])
    assert same(images_of(entries, cache, contents=["a"])[0], whole)
    assert same(images_of(entries, cache, contents=["a"])[0], whole)
    assert made == ["disc0", "disc0"]


def test_one_variable_says_where_and_nothing_is_written_unless_asked(
    disc_entries, cache, monkeypatch
):
    def a_batch(**training):
        CropSource(
            entries=disc_entries(1),
            rescales=[1.0],
            data=DataConfig(),
            training=TrainingConfig(batch_size=1, crop_size=32, **training),
            contents=["a"],
        ).batch(0)

    monkeypatch.setenv("CELLFLOW_CACHE", str(cache))
    a_batch()
    assert not cache.exists()
    a_batch(store_prepared=True)
    assert len(files(cache / "prepared")) == 1
    monkeypatch.delenv("CELLFLOW_CACHE")
    with pytest.raises(ConfigError, match=r"training\.store_prepared: set CELLFLOW_CACHE"):
        a_batch(store_prepared=True)


def test_a_folder_that_cannot_be_written_is_an_error(disc_entries, cache):
    cache.write_text("a file")
    with pytest.raises(DataError, match=r"cannot write .*\.safetensors"):
        images_of(disc_entries(1), cache, contents=["a"])[0]


def test_a_one_pixel_cell_has_no_flow(disc_entries):
    entry = disc_entries(1, radius=0)[0]
    prepared = prepare_entry(entry, DataConfig())
    assert prepared.cells.sum() == 9
    assert not prepared.flows.any()


def test_an_image_without_truth_is_refused(disc_entries):
    entry = disc_entries(1)[0]

    bare = Entry(name="bare", image_path=entry.image_path)
    with pytest.raises(DataError, match="bare: has no truth"):
        prepare_entry(bare, DataConfig())


def test_images_without_the_channel_that_is_asked_for_are_named(disc_entries):
    config = replace(DataConfig(), channels=(2, 0))
    with pytest.raises(DataError, match="image disc0: channel 2"):
        prepare_entry(disc_entries(1)[0], config)
