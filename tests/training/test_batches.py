"""Batches: the same whoever loads them, in bounded memory."""

import multiprocessing
import os
import signal
import threading
import tracemalloc
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from drawn_discs import disc_entry
from pretended_gpu import pretended_gpu

from cellflow.config import AugmentConfig, DataConfig, TrainingConfig
from cellflow.errors import CellflowError, DataError
from cellflow.training import batches as batches_module
from cellflow.training.batches import CropSource, crop_order, loader_threads, stream_batches


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


def test_any_number_of_threads_gives_the_same_batches_in_order(disc_entries):
    source = source_of(disc_entries(5), FULL, cache_megabytes=0)
    stream = stream_batches(source, 2, n_threads=4)
    streamed = list(islice(stream, 9))
    stream.close()
    assert all(equal(batch, source.batch(2 + k)) for k, batch in enumerate(streamed))
    assert not [t for t in threading.enumerate() if t.name.startswith("cellflow-loader")]


def test_a_cpu_has_one_loader_thread():
    assert loader_threads(torch.device("cpu")) == 1
    assert 1 <= loader_threads(torch.device("cuda")) <= 8


def test_batches_of_processes_are_pinned_on_the_gpu_that_trains(disc_entries, monkeypatch):
    current = []

    class Loader:
        def __init__(self, source, *, pin_memory, **options):
            assert pin_memory

        def __iter__(self):
            current.append(torch.cuda.current_device())
            return iter(())

    monkeypatch.setattr(batches_module, "DataLoader", Loader)
    with pretended_gpu(count=2) as gpus:
        source = source_of(disc_entries(1), n_workers=1)
        assert not list(stream_batches(source, 0, pin_for=torch.device("cuda:1")))
        assert (current, gpus.current) == ([1], 0)


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


def test_what_is_kept_in_memory_changes_no_batch(disc_entries):
    entries = disc_entries(4, shape=(320, 400))
    sources = [source_of(entries, cache_megabytes=megabytes) for megabytes in (0, 2, 1024)]
    for step in range(6):
        none, some, all_ = (source.batch(step) for source in sources)
        assert equal(none, some)
        assert equal(none, all_)
    image = 320 * 400 * 9
    assert [source.prepared.in_memory.n_bytes for source in sources] == [0, image, 4 * image]


def test_memory_stays_bounded_however_large_the_data_is(disc_entries):
    """150 images of 9 bytes a pixel would take 330 MB; the limit is 16 MB and what is in flight."""
    few = disc_entries(3, shape=(480, 512))
    entries = [replace(few[k % 3], name=f"image{k}") for k in range(150)]
    source = source_of(entries, batch_size=4, crop_size=64, cache_megabytes=16)
    image, batch = 480 * 512 * 9, 4 * 64 * 64 * 4 * 6
    source.batch(0)
    tracemalloc.start()
    for _ in islice(stream_batches(source, 1, n_threads=3), 40):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert source.prepared.in_memory.n_bytes <= 16 * 2**20
    # While an image is prepared it takes four times its packed size, in each of three threads.
    assert peak <= 16 * 2**20 + 3 * 4 * image + 5 * batch
    assert 150 * image > 4 * peak


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


@pytest.mark.parametrize("n_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_unreadable_image_is_named_whoever_loads_it(disc_entries, n_workers):
    entries = disc_entries(2)
    entries[1].image_path.write_bytes(b"no picture")
    stream = stream_batches(source_of(entries, n_workers=n_workers), 0)
    with pytest.raises(DataError, match=r"disc1\.png"):
        list(islice(stream, 3))
