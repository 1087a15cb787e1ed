"""Batches: the same whoever loads them, in bounded memory."""

import multiprocessing
import os
import signal
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from drawn_discs import disc_entry

from cellflow.config import DataConfig, TrainingConfig
from cellflow.errors import CellflowError, DataError
from cellflow.training.batches import CropSource, crop_order, prepare_entry, stream_batches


def source_of(entries, **training):
    chosen = {"batch_size": 2, "crop_size": 32, **training}
    return CropSource(
        entries=entries,
        rescales=[1.0] * len(entries),
        data=DataConfig(),
        training=TrainingConfig(**chosen),
    )


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


def test_a_batch_depends_on_seed_and_step_alone(disc_entries):
    entries = disc_entries(3)
    one, other = source_of(entries), source_of(entries)
    other.batch(7)
    assert equal(one.batch(2), other.batch(2))
    assert not equal(one.batch(2), one.batch(3))
    assert not equal(one.batch(2), source_of(entries, seed=1).batch(2))


def test_loading_ahead_in_a_thread_changes_nothing(disc_entries):
    source = source_of(disc_entries(3))
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
    streamed = first_batches(source_of(entries, n_workers=2), 5)
    source = source_of(entries)
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
    assert batch.cells.shape == (8, 32, 32)
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
