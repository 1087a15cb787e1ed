"""Batches: the same whoever loads them, in bounded memory."""

import multiprocessing
import os
import signal
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from drawn_discs import disc_entry

from cellflow.config import AugmentConfig, DataConfig, TrainingConfig
from cellflow.errors import CellflowError, DataError
from cellflow.training.batches import CropSource, crop_order, prepare_entry, stream_batches


def source_of(entries, augment=None, **training):
    chosen = {"batch_size": 2, "crop_size": 32, **training}
    return CropSource(
        entries=entries,
        rescales=[1.0] * len(entries),
        data=DataConfig(),
        training=TrainingConfig(**chosen),
        augment=augment or AugmentConfig(),
    )


FULL = AugmentConfig(level="full", mosaic=0.5)


def equal(first, second):
    return all((a == b).all() for a, b in zip(first, second, strict=True))


def first_batches(source, n, first_step=0):
    stream = stream_batches(source, first_step)
    batches = list(islice(stream, n))
    stream.close()
    return batches


@pytest.mark.parametrize("n_images", [1, 3, 8])
@pytest.mark.parametrize("n_crops", [1, 8, 20])
def test_every_image_comes_equally_often_but_for_one(n_images, n_crops):
    order = crop_order(n_images, n_crops, seed=3, epoch=1)
    counts = np.bincount(order, minlength=n_images)
    assert len(order) == n_crops
    assert counts.max() - counts.min() <= 1


def test_epochs_and_seeds_differ_in_their_order():
    orders = [tuple(crop_order(30, 30, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("augment", [AugmentConfig(), FULL])
def test_a_batch_depends_on_seed_and_step_alone(disc_entries, augment):
    entries = disc_entries(3)
    one, other = source_of(entries, augment), source_of(entries, augment)
    other.batch(7)
    assert equal(one.batch(2), other.batch(2))
    assert not equal(one.batch(2), one.batch(3))
    assert not equal(one.batch(2), source_of(entries, seed=1).batch(2))


def crops_that_differ(first, second, n_batches=20):
    """Count for each part of a batch the crops in which two sources differ."""
    pairs = [(first.batch(k), second.batch(k)) for k in range(n_batches)]
    return {
        name: sum(
            int((getattr(a, name) != getattr(b, name)).flatten(1).any(1).sum()) for a, b in pairs
        )
        for name in ("image", "flows", "cells", "weights")
    }


def test_photometry_changes_pictures_and_nothing_else(disc_entries):
    entries = disc_entries(3)
    levers = AugmentConfig(brightness=0.2, contrast=0.2, gamma=0.2, noise=0.1, blur=1.0)
    differing = crops_that_differ(source_of(entries), source_of(entries, levers))
    assert differing["image"] > 30
    assert (differing["flows"], differing["cells"], differing["weights"]) == (0, 0, 0)


def test_cut_out_takes_weight_from_half_of_the_crops_and_leaves_their_targets(disc_entries):
    entries = disc_entries(3)
    differing = crops_that_differ(source_of(entries), source_of(entries, AugmentConfig(cutout=0.4)))
    assert 10 < differing["weights"] < 30
    assert (differing["flows"], differing["cells"]) == (0, 0)


def test_as_many_crops_become_mosaics_as_the_chance_says_and_the_others_stay(disc_entries):
    entries = disc_entries(3)
    differing = crops_that_differ(source_of(entries), source_of(entries, AugmentConfig(mosaic=0.5)))
    assert 10 < differing["image"] < 30


def test_a_cell_type_may_have_a_zoom_of_its_own(disc_entries):
    entries = [replace(e, cell_type=k) for e, k in zip(disc_entries(2), "ab", strict=True)]
    wide = AugmentConfig(scale_range_by_type={"b": 1.5})
    one, other = source_of(entries), source_of(entries, wide)
    for step in range(6):
        order = crop_order(2, 2, 0, step)
        same = (one.batch(step).image == other.batch(step).image).flatten(1).all(1)
        assert same.tolist() == [kind == 0 for kind in order]


@pytest.mark.parametrize("augment", [AugmentConfig(), FULL])
def test_loading_ahead_in_a_thread_changes_nothing(disc_entries, augment):
    source = source_of(disc_entries(3), augment)
    streamed = first_batches(source, 3, first_step=4)
    assert all(equal(batch, source.batch(4 + k)) for k, batch in enumerate(streamed))


@pytest.mark.slow
def test_ctrl_c_leaves_the_loader_processes_alone(disc_entries):
    source = source_of(disc_entries(2), n_workers=2)
    stream = stream_batches(source, 0)
    next(stream)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGINT)
    batches = list(islice(stream, 6))
    stream.close()
    assert all(equal(batch, source.batch(k)) for k, batch in enumerate(batches, 1))
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_killed_loader_process_is_an_error_in_words(disc_entries):
    stream = stream_batches(source_of(disc_entries(2), n_workers=1), 0)
    next(stream)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(CellflowError, match=r"lower training\.n_workers"):
        list(islice(stream, 6))


@pytest.mark.slow
def test_loading_in_spawned_processes_changes_nothing(disc_entries):
    entries = disc_entries(3)
    streamed = first_batches(source_of(entries, FULL, n_workers=2), 5)
    source = source_of(entries, FULL)
    assert all(equal(batch, source.batch(k)) for k, batch in enumerate(streamed))


def test_the_memory_of_prepared_images_is_bounded_and_the_batches_stay_the_same(disc_entries):
    entries = disc_entries(4, shape=(320, 400))
    roomy, tight = source_of(entries), source_of(entries, cache_megabytes=2)
    batches = [(roomy.batch(step), tight.batch(step)) for step in range(6)]
    assert all(equal(*pair) for pair in batches)
    assert roomy.cached_bytes == 4 * 320 * 400 * 9
    assert tight.cached_bytes <= 2 * 2**20 < roomy.cached_bytes


def test_no_cache_at_all_works(disc_entries):
    source = source_of(disc_entries(2), cache_megabytes=0)
    source.batch(0)
    assert source.cached_bytes == 0


def test_a_data_set_smaller_than_a_batch_still_fills_it(disc_entries):
    source = source_of(disc_entries(1), batch_size=8)
    assert source.steps_per_epoch == 1
    batch = source.batch(0)
    assert batch.image.shape == (8, 2, 32, 32)
    assert batch.flows.shape == (8, 2, 32, 32)
    assert batch.cells.shape == batch.weights.shape == (8, 32, 32)
    assert not (batch.image[0] == batch.image[1]).all()


def test_images_per_epoch_sets_the_length_of_an_epoch(disc_entries):
    entries = disc_entries(3)
    assert source_of(entries).steps_per_epoch == 2
    assert source_of(entries, images_per_epoch=9).steps_per_epoch == 5
    assert source_of(entries, images_per_epoch=1).steps_per_epoch == 1


def test_mixed_sizes_a_tiny_image_and_one_without_cells_make_a_batch(disc_entries, tmp_path):
    big = disc_entries(1)[0]
    rng = np.random.default_rng(0)
    tiny = disc_entry(tmp_path, "tiny", rng, shape=(20, 24), n_cells=1)
    bare = disc_entry(tmp_path, "bare", rng, shape=(90, 50), n_cells=0)
    batch = source_of([big, tiny, bare], batch_size=6).batch(0)
    assert batch.image.isfinite().all()
    assert batch.cells.any(-1).any(-1).tolist().count(True) >= 3


def test_a_one_pixel_cell_has_no_flow(disc_entries):
    entry = disc_entries(1, radius=0)[0]
    prepared = prepare_entry(entry, DataConfig())
    assert prepared.cells.sum() == 9
    assert not prepared.flows.any()


@pytest.mark.parametrize("n_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_unreadable_image_is_named_whoever_loads_it(disc_entries, n_workers):
    entries = disc_entries(2)
    entries[1].image_path.write_bytes(b"no picture")
    stream = stream_batches(source_of(entries, n_workers=n_workers), 0)
    with pytest.raises(DataError, match=r"disc1\.png"):
        list(islice(stream, 3))


def test_an_image_without_truth_is_refused(disc_entries):
    entry = disc_entries(1)[0]
    from cellflow.data.dataset import Entry

    bare = Entry(name="bare", image_path=entry.image_path)
    with pytest.raises(DataError, match="bare: has no truth"):
        prepare_entry(bare, DataConfig())


def test_images_without_the_channel_that_is_asked_for_are_named(disc_entries):
    config = replace(DataConfig(), channels=(2, 0))
    with pytest.raises(DataError, match="image disc0: channel 2"):
        prepare_entry(disc_entries(1)[0], config)
